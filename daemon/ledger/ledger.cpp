#include "daemon/ledger/ledger.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>

#include "daemon/core/plain_line.hpp"
#include "daemon/ledger/database.hpp"

namespace airlock {

namespace {

using std::chrono::steady_clock;

/// How long a row may wait for company: a transaction costs more than the rows in it.
constexpr std::chrono::milliseconds gathering{15};
constexpr std::size_t large_batch = 512;
/// Beyond this the producers wait for the writer: a ledger that silently lacks rows is none.
constexpr std::size_t longest_queue = 64 * 1024;
constexpr std::size_t longest_subject = 4096;

std::int64_t unix_microseconds() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// Text from a sandbox or from Nix, fit to be stored and shown: printable ASCII without a
/// terminal's escape sequences, cut to `longest` bytes.
std::string printable(std::string_view raw, std::size_t longest) {
  // Before it is cut: half a sequence would be text.
  const auto text = one_plain_line(raw);
  const bool cut = text.size() > longest;
  auto result = text.substr(0, cut ? longest - 3 : longest);
  std::ranges::replace_if(
      result, [](char c) { return c < ' ' || c > '~'; }, '?');
  return cut ? result + "..." : result;
}

struct Open {
  StorePath derivation;
  std::set<LedgerSession> parents;
  std::promise<LedgerSession> number;
};
struct Parent {
  LedgerSession session, parent;
};
struct Change {
  LedgerSession session;
  SessionState state;
  std::string note;
};
struct Record {
  LedgerOperation operation;
};
struct Grant {
  LedgerSession session;
  StorePath path;
  std::string how;
};
struct Entry {
  std::variant<Open, Parent, Change, Record, Grant> what;
  std::int64_t at = unix_microseconds();
};

/// The prepared statements; used by the writing thread only.
class Writer {
 public:
  explicit Writer(const std::string& file) : database_(open_to_write(file)) {}

  void close_sessions_of_predecessor() {
    database_.exec(
        "UPDATE sessions SET state = 'closed', changed = unixepoch(), note = CASE note WHEN '' "
        "THEN 'airlockd was stopped' ELSE note || '; airlockd was stopped' END "
        "WHERE state IN ('open', 'ended')");
  }

  void drop_sessions_older_than(std::uint32_t days) {
    SQLite::Statement drop(database_,
                           "DELETE FROM sessions WHERE state IN ('settled', 'closed') AND "
                           "changed < unixepoch() - 86400 * ?");
    drop.bind(1, days);
    drop.exec();
  }

  [[nodiscard]] LedgerSession highest_number() {
    return database_.execAndGet("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").getInt64();
  }

  /// All of it or nothing. The numbers of opened sessions are in the order of the batch.
  /// Numbers start from `free`, or above those in the file.
  std::vector<LedgerSession> write(const std::deque<Entry>& batch, LedgerSession free) {
    free_ = free;
    SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
    std::vector<LedgerSession> numbers;
    for (const Entry& entry : batch) {
      const auto at = entry.at;
      std::visit([&](const auto& what) { put(what, at, numbers); }, entry.what);
    }
    transaction.commit();
    return numbers;
  }

 private:
  using Numbers = std::vector<LedgerSession>;

  template <typename... Values>
  static void run(SQLite::Statement& statement, const Values&... values) {
    statement.tryReset();  // reset() would throw what the statement failed with before
    int index = 0;
    (statement.bind(++index, values), ...);
    statement.exec();
  }

  void put(const Open& open, std::int64_t at, Numbers& numbers) {
    run(open_, free_, open.derivation.base(), at / 1'000'000);
    const LedgerSession number = database_.getLastInsertRowid();
    for (const LedgerSession parent : open.parents) run(parent_, number, parent);
    free_ = number + 1;
    numbers.push_back(number);
  }
  void put(const Parent& parent, std::int64_t, Numbers&) {
    run(parent_, parent.session, parent.parent);
  }
  void put(const Change& change, std::int64_t at, Numbers&) {
    run(change_, std::string(name_of(change.state)), change.note, at / 1'000'000, change.session);
  }
  void put(const Record& record, std::int64_t at, Numbers&) {
    const LedgerOperation& operation = record.operation;
    run(record_, operation.session, static_cast<std::int64_t>(operation.connection), at,
        static_cast<std::int64_t>(operation.duration.count()), operation.operation,
        operation.subject, operation.verdict, operation.rule, operation.reason,
        operation.succeeded ? 1 : 0);
  }
  void put(const Grant& grant, std::int64_t at, Numbers&) {
    run(grant_, grant.session, grant.path.base(), grant.how, at);
  }

  // A row whose session is unknown (its own row could not be written) is left out, so that it does
  // not take the rest of its batch with it.
  LedgerSession free_ = 1;
  SQLite::Database database_;
  SQLite::Statement open_{database_,
                          "INSERT INTO sessions (id, derivation, state, opened, changed) VALUES "
                          "(max(?1, (SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence)), "
                          "?2, 'open', ?3, ?3)"};
  SQLite::Statement parent_{database_,
                            "INSERT OR IGNORE INTO parents SELECT a.id, b.id "
                            "FROM sessions a, sessions b WHERE a.id = ? AND b.id = ?"};
  SQLite::Statement change_{database_,
                            "UPDATE sessions SET state = ?1, note = CASE ?2 WHEN '' THEN note "
                            "ELSE ?2 END, changed = ?3 WHERE id = ?4"};
  SQLite::Statement record_{database_,
                            "INSERT INTO operations (session, connection, at, duration, operation, "
                            "subject, verdict, rule, reason, succeeded) "
                            "SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 "
                            "FROM sessions WHERE id = ?1"};
  SQLite::Statement grant_{database_,
                           "INSERT OR IGNORE INTO grants SELECT id, ?2, ?3, ?4 "
                           "FROM sessions WHERE id = ?1"};
};

/// Gathers entries from all threads; one thread of its own writes them. The lock covers the queue
/// only, never SQLite.
class SqliteLedger final : public Ledger {
 public:
  SqliteLedger(const std::string& file, std::uint32_t keep_days) : writer_(file) {
    writer_.close_sessions_of_predecessor();
    writer_.drop_sessions_older_than(keep_days);
    last_number_ = writer_.highest_number();
    thread_ = std::thread([this] { work(); });
  }
  SqliteLedger(const SqliteLedger&) = delete;
  SqliteLedger& operator=(const SqliteLedger&) = delete;

  ~SqliteLedger() override {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  LedgerSession open_session(const StorePath& derivation,
                             const std::set<LedgerSession>& parents) override {
    Open open{derivation, parents, {}};
    auto number = open.number.get_future();
    add({std::move(open)}, true);
    return number.get();
  }

  void add_parent(LedgerSession session, LedgerSession parent) override {
    add({Parent{session, parent}}, false);
  }

  void set_state(LedgerSession session, SessionState state, const std::string& note) override {
    add({Change{session, state, printable(note, longest_subject)}}, true);
  }

  void record(const LedgerOperation& operation) override {
    Record row{operation};
    row.operation.subject = printable(operation.subject, longest_subject);
    row.operation.reason = printable(operation.reason, longest_subject);
    add({std::move(row)}, false);
  }

  void record_grant(LedgerSession session, const StorePath& path, const std::string& how) override {
    add({Grant{session, path, how}}, false);
  }

 private:
  void add(Entry entry, bool urgent) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return queue_.size() < longest_queue; });
    queue_.push_back(std::move(entry));
    urgent_ = urgent_ || urgent;
    const bool wake = urgent || queue_.size() == 1 || queue_.size() == large_batch;
    lock.unlock();
    if (wake) changed_.notify_one();
  }

  void work() {
    for (;;) {
      std::deque<Entry> batch;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
        changed_.wait_for(lock, gathering,
                          [this] { return closing_ || urgent_ || queue_.size() >= large_batch; });
        if (queue_.empty()) return;  // closing, and all is written
        batch.swap(queue_);
        urgent_ = false;
      }
      room_.notify_all();
      write(batch);
    }
  }

  void write(std::deque<Entry>& batch) {
    std::vector<LedgerSession> numbers;
    try {
      numbers = writer_.write(batch, last_number_ + 1);
    } catch (const std::exception& error) {
      complain(error.what(), batch.size());
    }
    auto number = numbers.begin();
    for (Entry& entry : batch) {
      auto* open = std::get_if<Open>(&entry.what);
      if (open == nullptr) continue;
      // A session that could not be written still needs a number that no later one gets.
      const LedgerSession given = number != numbers.end() ? *number++ : last_number_ + 1;
      last_number_ = std::max(last_number_, given);
      open->number.set_value(given);
    }
  }

  void complain(const char* why, std::size_t rows) {
    lost_ += rows;
    const auto now = steady_clock::now();
    if (complained_ && now - *complained_ < std::chrono::minutes(1)) return;
    complained_ = now;
    spdlog::error("the ledger lost {} rows: {}", std::exchange(lost_, 0), why);
  }

  Writer writer_;
  LedgerSession last_number_ = 0;                         // writing thread
  std::size_t lost_ = 0;                                  // writing thread
  std::optional<steady_clock::time_point> complained_{};  // writing thread

  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable room_;
  std::deque<Entry> queue_;
  bool urgent_ = false;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace

std::string_view name_of(SessionState state) {
  switch (state) {
    case SessionState::open:
      return "open";
    case SessionState::ended:
      return "ended";
    case SessionState::settled:
      return "settled";
    case SessionState::closed:
      return "closed";
  }
  return "closed";
}

tl::expected<std::unique_ptr<Ledger>, std::string> open_ledger(const std::string& file,
                                                               std::uint32_t keep_days) {
  try {
    return std::make_unique<SqliteLedger>(file, keep_days);
  } catch (const std::exception& error) {
    return tl::make_unexpected(fmt::format("cannot open the ledger {}: {}", file, error.what()));
  }
}

}  // namespace airlock
