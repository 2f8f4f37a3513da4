#include "daemon/command/demand.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>

#include "daemon/command/text.hpp"
#include "daemon/core/derivation.hpp"

namespace airlock::command {

namespace {

enum ChildStatus : int { not_asking = 0, asking = 10, sentence_follows = 11, asking_for_etc = 12 };

ChildStatus status_of(Demand demand) {
  switch (demand) {
    case Demand::nothing:
      return not_asking;
    case Demand::view:
      return asking;
    case Demand::view_and_etc:
      return asking_for_etc;
  }
  return not_asking;
}

tl::expected<std::string, std::string> read_file(const std::string& file, std::uint64_t largest) {
  const Fd opened{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  struct stat status {};
  if (!opened || ::fstat(opened.get(), &status) != 0)
    return tl::make_unexpected("cannot read " + file + ": " + std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return tl::make_unexpected(file + " is not a regular file");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > largest)
    return tl::make_unexpected(file + " is longer than the limit derivation-bytes allows");
  std::string text(size, '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(opened.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return tl::make_unexpected("cannot read " + file + " to its end");
    filled += static_cast<std::size_t>(got);
  }
  return text;
}

tl::expected<Demand, std::string> read_and_decide(const Config& config, const std::string& file) {
  const auto text = read_file(file, config.limits.derivation_bytes);
  if (!text) return tl::make_unexpected(text.error());
  return asks(config.layout, config.features, *text);
}

[[noreturn]] void child(const Config& config, const Account& account, const std::string& file,
                        int answer) {
  // What this process writes to Nix's pipe is obeyed: it may not even hold it.
  constexpr int kept = 0;
  if (::dup2(answer, kept) != kept || ::close_range(kept + 1, ~0U, 0) != 0) ::_exit(1);
  tl::expected<Demand, std::string> decision = Demand::nothing;
  try {
    const auto became = become(account);
    decision = became ? read_and_decide(config, file) : tl::make_unexpected(became.error());
  } catch (const std::exception& error) {
    decision = tl::make_unexpected(std::string(error.what()));
  }
  if (decision) ::_exit(status_of(*decision));
  put(kept, decision.error());
  ::_exit(sentence_follows);
}

std::string read_line(int fd) {
  std::array<char, 2048> buffer{};
  const ssize_t got = ::read(fd, buffer.data(), buffer.size());
  return one_line({buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))});
}

}  // namespace

tl::expected<Demand, std::string> asks(const StoreLayout& layout,
                                       const std::vector<std::string>& features,
                                       std::string_view text) {
  const auto spelled = [text](const std::string& feature) {
    return text.find(feature) != std::string_view::npos;
  };
  if (std::ranges::none_of(features, spelled)) return Demand::nothing;

  const auto derivation = Derivation::parse(layout, text);
  if (!derivation) {
    // Nix has read it before it ran this hook. A form that this parser does not know is no reason
    // to fail a build that wants nothing of airlock; one that seems to must not go without.
    if (text.find("requiredSystemFeatures") == std::string_view::npos) return Demand::nothing;
    return tl::make_unexpected("cannot tell whether this derivation requires airlock: " +
                               derivation.error());
  }
  const auto required = [&](const std::string& feature) {
    return derivation->requires_feature(feature);
  };
  if (std::ranges::none_of(features, required)) return Demand::nothing;

  const DerivationKind kind = derivation->kind();
  if (kind == DerivationKind::floating || kind == DerivationKind::impure)
    return tl::make_unexpected(
        std::string("the outputs of this derivation get their paths after the build, so airlock "
                    "could not add the references they need: build it without __contentAddressed "
                    "and __impure"));
  return derivation->flag("airlockEtcNix") ? Demand::view_and_etc : Demand::view;
}

tl::expected<Demand, std::string> derivation_asks(const Config& config, const Account& account,
                                                  const std::string& file) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return tl::make_unexpected(std::string("cannot make a pipe: ") + std::strerror(errno));
  const Fd reader{ends[0]};
  Fd writer{ends[1]};
  const pid_t pid = ::fork();
  if (pid < 0) return tl::make_unexpected(std::string("cannot fork: ") + std::strerror(errno));
  if (pid == 0) child(config, account, file, writer.get());
  writer.reset();

  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == not_asking) return Demand::nothing;
  if (code == asking) return Demand::view;
  if (code == asking_for_etc) return Demand::view_and_etc;
  if (code == sentence_follows) return tl::make_unexpected(read_line(reader.get()));
  return tl::make_unexpected("reading " + file + " ended abnormally");
}

}  // namespace airlock::command
