#include "daemon/mediator/connection.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <optional>

#include "daemon/core/plain_line.hpp"
#include "daemon/mediator/operations.hpp"
#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/handshake.hpp"

namespace airlock {

namespace {

using Clock = std::chrono::steady_clock;

/// Somebody else than the sandbox has connected.
class NotTheCaller : public ConnectionOver {
 public:
  using ConnectionOver::ConnectionOver;
};

class Connection {
 public:
  Connection(int socket, std::uint64_t index, Session& session, Services& services)
      : socket_(socket),
        index_(index),
        session_(session),
        services_(services),
        source_(socket, services.config.limits.handshake),
        sink_(socket, services.config.limits.stall),
        reader_(source_, services.config.layout,
                {services.config.limits.string_bytes, services.config.limits.list_items,
                 services.config.limits.request_bytes}),
        writer_(sink_, services.config.layout),
        upstream_(session.spare_upstream()) {}

  void serve() {
    try {
      if (auto verified = services_.boundary.verify(session_.number(), socket_); !verified)
        throw NotTheCaller("the caller is not in this session's sandbox: " + verified.error());
      shake_hands();
      source_.set_deadline(std::chrono::milliseconds::zero());
      while (!session_.condemned()) next_operation();
      session_.hold();  // by another connection: this one must not be the first to tell
    } catch (const Condemned& condemned) {
      condemn({condemned.rule(), condemned.what()});
    } catch (const UpstreamLost& lost) {
      // Where nothing is kept from the client it may hear of that too.
      if (services_.profile == Profile::strict) return condemn({policy::rule::host, lost.what()});
      end_with("broken", {policy::rule::host, lost.what()});
      say_goodbye(lost.what());
    } catch (const ConnectionOver& over) {
      if (source_.closed_between() && !operation_) return upstream_.leave();  // in good order
      end_broken(over);
    }
  }

 private:
  /// What never became an operation has a row in the ledger all the same, so it counts as one: else
  /// a builder could connect and break off without end.
  void end_broken(const ConnectionOver& over) {
    try {
      if (!counted_) session_.count_operation();
    } catch (const Condemned& condemned) {
      return condemn({condemned.rule(), condemned.what()});
    }
    end_with("broken", {rule_broken_by(over), over.what()});
    say_goodbye(over.what());
  }

  void condemn(const policy::Condemnation& why) {
    end_with("condemn", why);
    // Closing is an answer too, so the sandbox's end comes first.
    if (!session_.condemn(why)) session_.hold();
  }

  static std::string_view rule_broken_by(const ConnectionOver& over) {
    if (dynamic_cast<const NotTheCaller*>(&over) != nullptr) return policy::rule::caller;
    if (dynamic_cast<const wire::WatchedHungUp*>(&over) != nullptr) return policy::rule::hung_up;
    return policy::rule::well_formed;
  }

  void shake_hands() {
    if (services_.profile == Profile::observe) {
      passage_.emplace(services_.config, socket_, reader_, writer_);
      version_ = passage_->shake_hands();
    } else {
      version_ = wire::accept_handshake(reader_, writer_);
      wire::write_log_message(writer_, wire::Last{}, version_);
    }
    writer_.flush();
  }

  void next_operation() {
    source_.set_deadline(
        std::chrono::milliseconds::zero());  // a client may think as long as it likes
    operation_ = nullptr;
    counted_ = false;
    recorded_ = false;
    reader_.begin();
    subject_.clear();
    const auto number = reader_.u64();
    source_.set_deadline(services_.config.limits.stall);
    started_ = Clock::now();
    operation_ = find_operation(number, version_);
    if (operation_ == nullptr) {
      unknown_ = true;
      throw ConnectionOver(
          fmt::format("operation {} does not exist in protocol {}", number, version_.print()));
    }
    counted_ = true;
    session_.count_operation();
    const auto request = operation_->decode(reader_, version_);
    subject_ = request->subject(session_.layout());
    const auto body = wire::open_upload(operation_->body(version_), reader_, writer_, version_);
    Call call{session_, services_, upstream_, writer_, version_, socket_, body.get()};
    if (!passage_) fetch_what_is_locked(*request, call);
    Observation seen{request->decide(session_), subject_};
    auto& verdict = seen.verdict;
    const auto handled = passage_ ? request->forward(call, *passage_, seen)
                                  : decide_and_handle(*request, call, verdict);
    subject_ = seen.subject;
    // Before its reply is out: nobody acts on an answer that the ledger does not have.
    record(verdict.decision, verdict.rule, handled ? verdict.reason : handled.error().message,
           handled.has_value());
    writer_.flush();
    operation_ = nullptr;
  }

  /// Before the question is decided, since a decision looks at what is visible.
  void fetch_what_is_locked(const Request& request, Call& call) {
    for (const auto& path : request.asks_for()) {
      const auto outcome = session_.fetches().make_visible(path, call);
      if (!outcome) {
        if (const auto hint = session_.fetches().hint(path, session_);
            hint && asked_by_fetchers(operation_->op))
          wire::write_log_message(writer_, wire::LogLine{*hint + "\n"}, version_);
        continue;
      }
      const auto succeeded = outcome->failure.empty();
      services_.ledger.record(
          {session_.ledger_id(), index_, "Fetch", outcome->origin,
           std::string(policy::name_of(outcome->verdict.decision)),
           std::string(outcome->verdict.rule), outcome->failure, succeeded,
           std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started_)});
      // The question itself has an ordinary answer, which says nothing of the reason.
      if (!succeeded)
        wire::write_log_message(writer_, wire::LogLine{outcome->failure + "\n"}, version_);
    }
  }

  /// What fetchers ask before they go to the network; other questions are asked for other reasons.
  static bool asked_by_fetchers(wire::Op op) {
    return op == wire::Op::is_valid_path || op == wire::Op::ensure_path;
  }

  /// Profile strict. The verdict may change by what an upload turned out to hold.
  [[nodiscard]] Handled decide_and_handle(const Request& request, Call& call,
                                          policy::Verdict& verdict) {
    if (verdict.decision == policy::Decision::condemn)
      throw Condemned(verdict.rule, verdict.reason);
    auto handled = verdict.refused() ? refuse(verdict) : request.handle(call);
    // What is left of an upload has to be read before the connection can go on.
    if (call.body != nullptr) call.body->drain(services_.config.limits.nar_bytes);
    if (!handled) {
      if (handled.error().verdict) verdict = *handled.error().verdict;
      wire::write_log_message(writer_, wire::Error{0, handled.error().message, {}}, version_);
    }
    return handled;
  }

  void record(policy::Decision decision, std::string_view rule, const std::string& reason,
              bool succeeded) {
    services_.ledger.record(
        {session_.ledger_id(), index_, std::string(operation_->name), subject_,
         std::string(policy::name_of(decision)), std::string(rule), reason, succeeded,
         std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started_)});
    recorded_ = true;
  }

  /// The connection ends here: the ledger and the log say why.
  void end_with(const std::string& verdict, const policy::Condemnation& why) {
    spdlog::warn("{}: connection {} ended: {}", session_.path().base(), index_,
                 one_plain_line(why.reason));
    if (recorded_) return;  // only its reply was not taken, and an operation has one row
    const auto* name = operation_ != nullptr ? operation_->name.data()
                       : unknown_            ? "unknown"
                                             : "handshake";
    services_.ledger.record(
        {session_.ledger_id(), index_, name, subject_, verdict, std::string(why.rule), why.reason,
         false, std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started_)});
  }

  /// Tells a client that speaks the protocol what was wrong with what it sent; best effort.
  void say_goodbye(const std::string& reason) {
    if (version_ < wire::oldest) return;
    try {
      wire::write_log_message(
          writer_, wire::Error{0, "airlock ended the connection: " + reason, {}}, version_);
      writer_.flush();
    } catch (const ConnectionOver&) {
      return;  // it is gone
    }
  }

  int socket_;
  std::uint64_t index_;
  Session& session_;
  Services& services_;
  wire::FdSource source_;
  wire::FdSink sink_;
  wire::Reader reader_;
  wire::Writer writer_;
  UpstreamLine upstream_;
  std::optional<Passage> passage_;  ///< profile observe only
  wire::Version version_{};
  const Operation* operation_ = nullptr;
  bool counted_ = false;   ///< the operation at hand is one of those that the session may ask
  bool recorded_ = false;  ///< the operation at hand has its row
  bool unknown_ = false;
  std::string subject_;
  Clock::time_point started_ = Clock::now();
};

}  // namespace

void serve_connection(int socket, std::uint64_t index, Session& session, Services& services) {
  try {
    Connection(socket, index, session, services).serve();
  } catch (const std::exception& unexpected) {
    // Memory, a full disk behind the ledger: of the host, so the sandbox must not go on without.
    spdlog::error("{}: connection {}: {}", session.path().base(), index, unexpected.what());
    if (!session.condemn({policy::rule::host, std::string("airlock failed: ") + unexpected.what()}))
      session.hold();
  }
}

}  // namespace airlock
