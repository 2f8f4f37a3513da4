#include "daemon/guest/copy_output.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "fusefs/boundary/fd.hpp"

namespace airlock::guest {
namespace {

[[noreturn]] void fail(const char* what, const std::string& shown) {
  throw std::runtime_error(fmt::format("cannot {} {}: {}", what, shown, std::strerror(errno)));
}

class FileSink final : public Sink {
 public:
  FileSink(int fd, const std::string& shown) : fd_(fd), shown_(shown) {}
  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const auto written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write", shown_);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

 private:
  int fd_;
  const std::string& shown_;
};

/// A name below a folder that is open, and how it is shown.
struct Spot {
  int folder;
  std::string name;
  std::string shown;
};

class Copying {
 public:
  explicit Copying(const Replacements& replacements) : replacements_(replacements) {}

  void copy(const Spot& from, const Spot& to) {
    struct stat status {};
    if (::fstatat(from.folder, from.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      fail("look at", from.shown);
    if (S_ISREG(status.st_mode)) return copy_file(from, to, (status.st_mode & S_IXUSR) != 0);
    if (S_ISLNK(status.st_mode)) return copy_link(from, to);
    if (S_ISDIR(status.st_mode)) return copy_folder(from, to);
    throw std::runtime_error(from.shown + " is neither file, folder nor symlink");
  }

 private:
  void check(const HashRewriter& rewriter, const std::string& shown) const {
    const auto* impossible = rewriter.impossible();
    if (impossible == nullptr) return;
    throw std::runtime_error(fmt::format(
        "{} refers to an output of its own derivation (hash part {}), whose name differs from that "
        "of the output it is to become: give both derivations the same name",
        shown, impossible->from));
  }

  [[nodiscard]] std::string rewrite(const std::string& text, const std::string& shown) const {
    StringSink sink;
    HashRewriter rewriter(replacements_, sink);
    rewriter.write(text);
    rewriter.finish();
    check(rewriter, shown);
    return sink.text();
  }

  void copy_file(const Spot& from, const Spot& to, bool executable) {
    const Fd source(::openat(from.folder, from.name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!source) fail("open", from.shown);
    const Fd target(::openat(to.folder, to.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                             executable ? 0755 : 0644));
    if (!target) fail("make", to.shown);
    FileSink sink(target.get(), to.shown);
    HashRewriter rewriter(replacements_, sink);
    for (;;) {
      const auto n = ::read(source.get(), buffer_.data(), buffer_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("read", from.shown);
      if (n == 0) break;
      rewriter.write({buffer_.data(), static_cast<std::size_t>(n)});
      check(rewriter, from.shown);
    }
    rewriter.finish();
  }

  void copy_link(const Spot& from, const Spot& to) const {
    std::array<char, PATH_MAX> target{};
    const auto n = ::readlinkat(from.folder, from.name.c_str(), target.data(), target.size());
    if (n < 0) fail("read", from.shown);
    const auto text = rewrite({target.data(), static_cast<std::size_t>(n)}, from.shown);
    if (::symlinkat(text.c_str(), to.folder, to.name.c_str()) != 0) fail("make", to.shown);
  }

  void copy_folder(const Spot& from, const Spot& to) {
    Fd source(
        ::openat(from.folder, from.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!source) fail("open", from.shown);
    if (::mkdirat(to.folder, to.name.c_str(), 0755) != 0) fail("make", to.shown);
    const Fd target(
        ::openat(to.folder, to.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!target) fail("open", to.shown);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(source.get()), ::closedir);
    if (!stream) fail("list", from.shown);
    const int folder = source.release();  // the stream's by now
    for (errno = 0; const dirent* entry = ::readdir(stream.get()); errno = 0) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      const auto shown = from.shown + "/" + name;
      const auto becomes = rewrite(name, shown);
      copy({folder, name, shown}, {target.get(), becomes, to.shown + "/" + becomes});
    }
    if (errno != 0) fail("list", from.shown);
  }

  const Replacements& replacements_;
  std::array<char, 64 * 1024> buffer_{};
};

}  // namespace

void copy_output(const std::string& from, const std::string& to, const Replacements& replacements) {
  Copying(replacements).copy({AT_FDCWD, from, from}, {AT_FDCWD, to, to});
}

}  // namespace airlock::guest
