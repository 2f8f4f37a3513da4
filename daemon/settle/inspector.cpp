#include "daemon/settle/inspector.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

#include "daemon/core/quote.hpp"
#include "daemon/settle/inspecting_child.hpp"

namespace airlock {

namespace {

constexpr std::size_t longest_answer = 256u << 20;

std::string words_of(const Outputs& outputs) {
  std::string words;
  for (const auto& [name, path] : outputs) words += fmt::format(" {} {}", name, path.base());
  return words;
}

std::string words_of(const std::set<StorePath>& paths) {
  std::string words;
  for (const StorePath& path : paths) words += " " + path.base();
  return words;
}

FolderLock lock_of(std::string_view last_word) {
  if (last_word == inspecting::absent) return FolderLock::absent;
  return last_word == inspecting::in_use ? FolderLock::in_use : FolderLock::locked;
}

/// Takes "mark <number>\n" from the front of an answer; none if it does not begin so.
std::optional<std::int64_t> take_mark(std::string_view& text) {
  const auto line_end = text.find('\n');
  if (!text.starts_with(fmt::format("{} ", inspecting::mark_debt)) ||
      line_end == std::string_view::npos)
    return std::nullopt;
  std::int64_t mark = 0;
  const char* first = text.data() + inspecting::mark_debt.size() + 1;
  if (std::from_chars(first, text.data() + line_end, mark).ptr != text.data() + line_end)
    return std::nullopt;
  text.remove_prefix(line_end + 1);
  return mark;
}

/// Two lines of RecentAmendment::print, and a line for each path.
tl::expected<RecentAmendment, std::string> decode_recent(std::string_view text) {
  const auto first = text.find('\n');
  const auto second = first == std::string_view::npos ? first : text.find('\n', first + 1);
  if (second == std::string_view::npos)
    return tl::make_unexpected("the inspecting process reported " + quote(text));
  auto amendment = RecentAmendment::parse(text.substr(0, second + 1));
  if (!amendment) return amendment;
  for (text.remove_prefix(second + 1); !text.empty();) {
    const auto end = std::min(text.find('\n'), text.size() - 1);
    auto path = StorePath::parse(text.substr(0, end));
    if (!path) return tl::make_unexpected("the inspecting process reported: " + path.error());
    amendment->paths.insert(*std::move(path));
    text.remove_prefix(end + 1);
  }
  return amendment;
}

}  // namespace

tl::expected<Inspector, std::string> Inspector::start(const StoreLayout& layout,
                                                      const Account& account) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return tl::make_unexpected(fmt::format("cannot make a socket: {}", std::strerror(errno)));
  Fd ours{ends[0]};
  const Fd theirs{ends[1]};
  const pid_t pid = ::fork();
  if (pid < 0) return tl::make_unexpected(fmt::format("cannot fork: {}", std::strerror(errno)));
  if (pid == 0) inspecting::serve(layout, account, theirs.get());
  return Inspector(std::move(ours), pid);
}

Inspector::Inspector(Inspector&& other) noexcept
    : channel_(std::move(other.channel_)),
      pid_(std::exchange(other.pid_, -1)),
      unread_(std::move(other.unread_)) {}

Inspector::~Inspector() {
  if (pid_ <= 0) return;
  channel_.reset();
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

tl::expected<Inspector::Answer, std::string> Inspector::receive() {
  const auto complete = [this](std::string_view word) {
    const auto line = fmt::format("{}\n", word);
    return unread_ == line || unread_.ends_with("\n" + line);
  };
  for (;;) {
    const auto* word = std::ranges::find_if(inspecting::last_words, complete);
    if (word != inspecting::last_words.end()) {
      std::string text = std::exchange(unread_, {});
      text.resize(text.size() - word->size() - 1);
      if (*word != inspecting::failed) return Answer{std::move(text), std::string(*word)};
      return tl::make_unexpected(text.substr(0, text.find('\n')));
    }
    std::array<char, 16 * 1024> buffer{};
    const ssize_t got = ::read(channel_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return tl::make_unexpected(std::string("the inspecting process ended early"));
    unread_.append(buffer.data(), static_cast<std::size_t>(got));
    if (unread_.size() > longest_answer)
      return tl::make_unexpected(std::string("the inspecting process reports without end"));
  }
}

tl::expected<Inspector::Answer, std::string> Inspector::ask(const std::string& request) {
  const std::string line = request + "\n";
  for (std::string_view left = line; !left.empty();) {
    const ssize_t sent = ::send(channel_.get(), left.data(), left.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) break;  // its last words may say why
    left.remove_prefix(static_cast<std::size_t>(sent));
  }
  return receive();
}

tl::expected<void, std::string> Inspector::order(const std::string& request) {
  const auto answer = ask(request);
  if (!answer) return tl::make_unexpected(answer.error());
  if (!answer->text.empty() || answer->last_word != inspecting::done)
    return tl::make_unexpected(std::string("the inspecting process spoke out of turn"));
  return {};
}

tl::expected<Inspector::Debt, std::string> Inspector::take_debt(
    const StorePath& derivation, const Outputs& outputs, std::chrono::milliseconds patience) {
  const auto answer = ask(fmt::format("{} {} {}{}", inspecting::debt, derivation.base(),
                                      patience.count(), words_of(outputs)));
  if (!answer) return tl::make_unexpected(answer.error());
  Debt debt{.state = lock_of(answer->last_word), .inspection = {}, .mark = {}};
  if (debt.state != FolderLock::locked) return debt;
  std::string_view text = answer->text;
  debt.mark = take_mark(text);
  auto inspection = decode(text, outputs);
  if (!inspection) return tl::make_unexpected(inspection.error());
  debt.inspection = *std::move(inspection);
  return debt;
}

tl::expected<void, std::string> Inspector::set_mark(std::int64_t mark) {
  return order(fmt::format("{} {}", inspecting::mark_debt, mark));
}

tl::expected<void, std::string> Inspector::remove_debt() {
  return order(std::string(inspecting::pay_debt));
}

tl::expected<Inspector::Recent, std::string> Inspector::take_recent(
    const StorePath& derivation, std::chrono::milliseconds patience) {
  const auto answer =
      ask(fmt::format("{} {} {}", inspecting::recent, derivation.base(), patience.count()));
  if (!answer) return tl::make_unexpected(answer.error());
  Recent recent{.state = lock_of(answer->last_word), .amendment = {}};
  if (recent.state != FolderLock::locked) return recent;
  auto amendment = decode_recent(answer->text);
  if (!amendment) return tl::make_unexpected(amendment.error());
  recent.amendment = *std::move(amendment);
  return recent;
}

tl::expected<RecentAmendment, std::string> Inspector::keep_recent(
    const StorePath& derivation, const RecentAmendment& amendment) {
  if (const auto told = order(fmt::format("{} {}", inspecting::readers, amendment.readers.print()));
      !told)
    return tl::make_unexpected(told.error());
  const auto answer =
      ask(fmt::format("{} {} {} {:d}{}", inspecting::keep, derivation.base(), amendment.mark,
                      amendment.unfinished, words_of(amendment.paths)));
  if (!answer) return tl::make_unexpected(answer.error());
  return decode_recent(answer->text);
}

tl::expected<void, std::string> Inspector::write_recent(const RecentAmendment& amendment) {
  if (auto told = order(fmt::format("{} {}", inspecting::readers, amendment.readers.print()));
      !told)
    return told;
  return order(fmt::format("{} {} {:d}", inspecting::write, amendment.mark, amendment.unfinished));
}

tl::expected<void, std::string> Inspector::remove_recent() {
  return order(std::string(inspecting::forget));
}

tl::expected<Inspection, std::string> Inspector::inspect(const std::optional<StorePath>& derivation,
                                                         const Outputs& outputs,
                                                         const std::set<StorePath>& wanted) {
  if (auto told = order(std::string(inspecting::want) + words_of(wanted)); !told)
    return tl::make_unexpected(told.error());
  const auto answer = ask(fmt::format("{} {}{}", inspecting::scan,
                                      derivation ? derivation->base() : "-", words_of(outputs)));
  if (!answer) return tl::make_unexpected(answer.error());
  auto inspection = decode(answer->text, outputs);
  if (!inspection) return tl::make_unexpected(inspection.error());
  // What was not asked for cannot have been found.
  for (const auto& [name, findings] : *inspection)
    if (!std::ranges::includes(wanted, findings.references))
      return tl::make_unexpected(std::string("the inspecting process found what was not wanted"));
  return inspection;
}

}  // namespace airlock
