#include "daemon/settle/inspecting_child.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "daemon/settle/debt_folder.hpp"
#include "daemon/settle/inspection.hpp"
#include "daemon/settle/recent_folder.hpp"

namespace airlock::inspecting {

namespace {

void put(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) ::_exit(1);  // the parent is gone: the locks go with this process
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void put_failure(int fd, std::string_view text) {
  std::string line(text);
  std::ranges::replace(line, '\n', ' ');
  put(fd, fmt::format("{}\n{}\n", line, failed));
}

/// The words of a request, which root has written.
class Request {
 public:
  explicit Request(const std::string& line) : words_(line) {}

  std::string word() {
    std::string word;
    if (!(words_ >> word)) throw std::runtime_error("a request ends early");
    return word;
  }
  bool ended() { return (words_ >> std::ws).eof(); }
  StorePath path() { return StorePath::parse(word()).value(); }
  std::int64_t number() { return std::stoll(word()); }
  std::chrono::milliseconds patience() { return std::chrono::milliseconds(number()); }
  std::string rest() {
    std::string rest;
    std::getline(words_ >> std::ws, rest);
    return rest;
  }
  std::set<StorePath> paths() {
    std::set<StorePath> paths;
    while (!ended()) paths.insert(path());
    return paths;
  }
  Outputs outputs() {
    Outputs outputs;
    while (!ended()) {
      const std::string name = word();
      outputs.emplace(name, path());
    }
    return outputs;
  }

 private:
  std::istringstream words_;
};

std::string print(const RecentAmendment& amendment) {
  std::string text = amendment.print();
  for (const StorePath& path : amendment.paths) text += path.base() + "\n";
  return text;
}

class Child {
 public:
  explicit Child(const StoreLayout& layout) : layout_(layout) {}

  /// The text of the answer, with its last word.
  std::string answer(const std::string& line) {
    Request request(line);
    const std::string kind = request.word();
    if (kind == debt) return take_debt(request);
    if (kind == recent) return take_recent(request);
    if (kind == mark_debt) debt_.value().set_mark(request.number());
    if (kind == pay_debt) debt_.value().remove();
    if (kind == readers) readers_ = Readers::parse(request.rest()).value();
    if (kind == keep) return keep_recent(request);
    if (kind == write) recent_.value().write(state(request));
    if (kind == forget) forget_recent();
    if (kind == want) wanted_ = request.paths();
    if (kind == scan) return scan_outputs(request);
    return with({}, done);
  }

 private:
  static std::string with(const std::string& text, std::string_view last_word) {
    return fmt::format("{}{}\n", text, last_word);
  }

  std::string take_debt(Request& request) {
    const StorePath derivation = request.path();
    debt_.emplace(layout_, derivation);
    const FolderLock state = debt_->lock(request.patience());
    if (state != FolderLock::locked) return with({}, state == FolderLock::absent ? absent : in_use);
    const auto mark = debt_->mark();
    const auto text = mark ? fmt::format("{} {}\n", mark_debt, *mark) : std::string();
    return with(text + encode(inspect(layout_, derivation, request.outputs(), debt_->granted())),
                done);
  }

  std::string take_recent(Request& request) {
    const StorePath derivation = request.path();
    recent_.emplace(layout_, derivation);
    const FolderLock state = recent_->lock(request.patience());
    if (state != FolderLock::locked) return with({}, state == FolderLock::absent ? absent : in_use);
    if (recent_->complete()) return with(print(recent_->read()), done);
    // While it was made its debt was there, and is as long as it is not complete.
    const auto debts = list_debts(layout_);
    if (std::ranges::find(debts, derivation) != debts.end()) return with({}, in_use);
    forget_recent();
    return with({}, absent);
  }

  RecentAmendment state(Request& request) {
    const std::int64_t mark = request.number();
    return {.mark = mark, .unfinished = request.number() != 0, .readers = readers_, .paths = {}};
  }

  std::string keep_recent(Request& request) {
    const StorePath derivation = request.path();
    RecentAmendment amendment = state(request);
    amendment.paths = request.paths();
    if (!recent_) recent_.emplace(layout_, derivation);
    recent_->keep(amendment);
    return with(print(recent_->read()), done);
  }

  void forget_recent() {
    recent_.value().remove();
    recent_.reset();
  }

  std::string scan_outputs(Request& request) {
    const std::string derivation = request.word();
    const Outputs outputs = request.outputs();
    if (derivation == "-")
      return with(encode(inspect(layout_, std::nullopt, outputs, wanted_)), done);
    return with(encode(inspect(layout_, StorePath::parse(derivation).value(), outputs, wanted_)),
                done);
  }

  const StoreLayout& layout_;
  std::optional<DebtFolder> debt_;
  std::optional<RecentFolder> recent_;
  Readers readers_;
  std::set<StorePath> wanted_;
};

void work(const StoreLayout& layout, const Account& account, int channel) {
  if (const auto became = become(account); !became) return put_failure(channel, became.error());
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a change of user clears it
  Child child(layout);
  std::string unread;
  std::array<char, 16 * 1024> buffer{};
  for (;;) {
    const ssize_t got = ::read(channel, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    unread.append(buffer.data(), static_cast<std::size_t>(got));
    for (auto end = unread.find('\n'); end != std::string::npos; end = unread.find('\n')) {
      const std::string line = unread.substr(0, end);
      unread.erase(0, end + 1);
      put(channel, child.answer(line));
    }
  }
}

}  // namespace

void serve(const StoreLayout& layout, const Account& account, int channel) {
  constexpr int kept = 0;
  if (::dup2(channel, kept) != kept || ::close_range(kept + 1, ~0U, 0) != 0) ::_exit(1);
  try {
    work(layout, account, kept);
  } catch (const std::exception& error) {
    put_failure(kept, error.what());
  }
  ::_exit(0);
}

}  // namespace airlock::inspecting
