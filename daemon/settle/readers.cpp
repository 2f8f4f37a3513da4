#include "daemon/settle/readers.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>

#include "daemon/core/quote.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {

namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

/// False: the folder cannot be read.
bool for_each_number(const std::string& folder, const std::function<void(pid_t)>& visit) {
  const std::unique_ptr<DIR, CloseFolder> opened{::opendir(folder.c_str())};
  if (!opened) return false;
  while (const dirent* entry = ::readdir(opened.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string_view name = entry->d_name;
    pid_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && end == name.data() + name.size()) visit(number);
  }
  return true;
}

std::string link_target(const std::string& link) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t length = ::readlink(link.c_str(), buffer.data(), buffer.size());
  return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0))};
}

bool has_open(pid_t pid, const StoreLayout& layout, const struct stat& file) {
  const std::string name = layout.database().substr(layout.database().rfind('/'));
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  bool found = false;
  for_each_number(folder, [&](int number) {
    const std::string descriptor = fmt::format("{}/{}", folder, number);
    struct stat status {};
    // Only where the name fits: asking about a file on a mount that hangs would hang too.
    found = found ||
            (link_target(descriptor).ends_with(name) && ::stat(descriptor.c_str(), &status) == 0 &&
             status.st_dev == file.st_dev && status.st_ino == file.st_ino);
  });
  return found;
}

std::optional<uid_t> effective_user(pid_t pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    uid_t real = 0;
    uid_t effective = 0;
    if (line.starts_with("Uid:") && std::istringstream(line.substr(4)) >> real >> effective)
      return effective;
  }
  return std::nullopt;
}

/// The 22nd field of the process's stat; none when it is over.
std::optional<std::uint64_t> start_of(pid_t pid) {
  std::string text;
  std::getline(std::ifstream(fmt::format("/proc/{}/stat", pid)), text, '\0');
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  // A zombie registers nothing any more.
  if (text.substr(name_end + 1).starts_with(" Z")) return std::nullopt;
  std::uint64_t start = 0;
  if (!(fields >> start)) return std::nullopt;
  return start;
}

std::string this_boot() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id.empty() ? "unknown" : id;
}

std::string this_pid_namespace() {
  std::string name = link_target("/proc/self/ns/pid");
  return name.empty() ? "unknown" : name;
}

/// Whatever works on a local store shares this lock for as long as it lives.
bool no_nix_runs(const StoreLayout& layout) {
  const Fd lock{::open((layout.state_dir + "/db/big-lock").c_str(), O_RDONLY | O_CLOEXEC)};
  return lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
}

}  // namespace

tl::expected<Readers, std::string> Readers::now(const StoreLayout& layout, uid_t except_user,
                                                pid_t except) {
  Readers readers;
  readers.boot_ = this_boot();
  readers.pid_namespace_ = this_pid_namespace();
  struct stat database {};
  if (::stat(layout.database().c_str(), &database) != 0)
    return tl::make_unexpected(
        fmt::format("cannot find {}: {}", layout.database(), std::strerror(errno)));
  const auto consider = [&](pid_t pid) {
    if (pid == ::getpid() || pid == except || !has_open(pid, layout, database)) return;
    const auto started = start_of(pid);
    if (started && effective_user(pid) != except_user) readers.processes_.insert({pid, *started});
  };
  if (!for_each_number("/proc", consider))
    return tl::make_unexpected(
        std::string("cannot tell which processes have Nix's database open: is /proc mounted?"));
  return readers;
}

std::string Readers::print() const {
  std::string text = boot_ + " " + pid_namespace_;
  for (const auto& [pid, started] : processes_) text += fmt::format(" {}@{}", pid, started);
  return text;
}

tl::expected<Readers, std::string> Readers::parse(std::string_view text) {
  Readers readers;
  std::istringstream words{std::string(text)};
  words >> readers.boot_ >> readers.pid_namespace_;
  bool well_formed = !readers.pid_namespace_.empty();
  for (std::string word; well_formed && words >> word;) {
    std::istringstream parts(word);
    Process process{};
    char at = 0;
    well_formed = parts >> process.pid >> at >> process.started && at == '@' && parts.peek() == EOF;
    readers.processes_.insert(process);
  }
  if (!well_formed) return tl::make_unexpected("processes are not recorded as " + quote(text));
  return readers;
}

void Readers::forget_ended(const StoreLayout& layout) {
  if (processes_.empty()) return;
  if (boot_ != this_boot()) return processes_.clear();
  if (pid_namespace_ != this_pid_namespace()) {
    if (no_nix_runs(layout)) processes_.clear();
    return;
  }
  std::erase_if(processes_,
                [](const Process& process) { return start_of(process.pid) != process.started; });
}

}  // namespace airlock
