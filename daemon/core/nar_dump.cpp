#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <memory>
#include <system_error>
#include <vector>

#include "daemon/core/nar.hpp"
#include "daemon/core/nar_buffer.hpp"
#include "daemon/core/quote.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock {
namespace {

class NarDump {
 public:
  NarDump(int directory_fd, const std::string& path, Sink& sink)
      : directory_fd_(directory_fd), path_(path), out_(sink) {}

  void run() {
    put({nar_magic});
    node();
    while (!folders_.empty()) {
      auto& folder = folders_.back();
      if (folder.next < folder.names.size()) {
        const auto& name = folder.names[folder.next++];
        put({"entry", "(", "name", name, "node"});
        path_.resize(folder.path_length);
        path_.append("/").append(name);
        node();
      } else {
        folders_.pop_back();
        close_node();
      }
    }
    out_.flush();
  }

 private:
  struct Folder {
    std::vector<std::string> names;  ///< sorted
    std::size_t next;
    std::size_t path_length;
  };

  /// A file or symlink to its end, or a folder up to its first entry.
  void node() {
    // One open is enough for all but symlinks, which answer ELOOP. A fifo must not block it.
    const Fd fd = open(O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (!fd) {
      if (errno != ELOOP) fail(errno);
      return symlink();
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) fail(errno);
    if (S_ISREG(status.st_mode)) {
      file(fd, status);
    } else if (S_ISDIR(status.st_mode)) {
      put({"(", "type", "directory"});
      folders_.push_back({names_in(fd), 0, path_.size()});
    } else {
      fail(EINVAL);
    }
  }

  void file(const Fd& fd, const struct stat& status) {
    put({"(", "type", "regular"});
    if ((status.st_mode & S_IXUSR) != 0) put({"executable", ""});
    put({"contents"});
    const auto size = static_cast<std::uint64_t>(status.st_size);
    put_integer(size);
    for (auto left = size; left > 0;) {
      const auto room = out_.room(std::min<std::uint64_t>(left, NarBuffer::capacity));
      const auto count = ::read(fd.get(), room.data(), room.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail(errno);
      if (count == 0) fail(EIO);  // it shrank
      out_.commit(static_cast<std::size_t>(count));
      left -= static_cast<std::uint64_t>(count);
    }
    put_padding(size);
    close_node();
  }

  void symlink() {
    const Fd fd = open(O_PATH | O_NOFOLLOW);
    if (!fd) fail(errno);
    std::array<char, 4096> target{};
    const auto size = ::readlinkat(fd.get(), "", target.data(), target.size());
    if (size < 0) fail(errno);
    if (static_cast<std::size_t>(size) == target.size()) fail(ENAMETOOLONG);
    const std::string_view text(target.data(), static_cast<std::size_t>(size));
    put({"(", "type", "symlink", "target", text});
    close_node();
  }

  void close_node() {
    put({")"});
    if (!folders_.empty()) put({")"});  // of the entry
  }

  [[nodiscard]] std::vector<std::string> names_in(const Fd& fd) const {
    // The stream owns its descriptor, so it gets one of its own.
    Fd own(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!own) fail(errno);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(own.get()), ::closedir);
    if (!stream) fail(errno);
    static_cast<void>(own.release());

    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const auto* entry = ::readdir(stream.get());
      if (entry == nullptr) break;
      const std::string_view name = static_cast<const char*>(entry->d_name);
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) fail(errno);
    std::sort(names.begin(), names.end());
    return names;
  }

  /// Not open when it fails; errno says why.
  [[nodiscard]] Fd open(int flags) const {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_NO_SYMLINKS;
    return Fd(
        static_cast<int>(::syscall(SYS_openat2, directory_fd_, path_.c_str(), &how, sizeof how)));
  }

  void put(std::initializer_list<std::string_view> strings) {
    for (const auto text : strings) {
      put_integer(text.size());
      for (auto rest = text; !rest.empty();) {
        const auto room = out_.room(rest.size());
        rest.copy(room.data(), room.size());
        out_.commit(room.size());
        rest.remove_prefix(room.size());
      }
      put_padding(text.size());
    }
  }

  void put_integer(std::uint64_t value) {
    for (auto& byte : out_.room(8)) {
      byte = static_cast<char>(value & 0xff);
      value >>= 8;
    }
    out_.commit(8);
  }

  void put_padding(std::uint64_t size) {
    const auto room = out_.room(nar_padding(size));
    std::fill(room.begin(), room.end(), '\0');
    out_.commit(room.size());
  }

  [[noreturn]] void fail(int error) const {
    throw std::system_error(error, std::generic_category(), "cannot read " + quote(path_));
  }

  int directory_fd_;
  std::string path_;  ///< of the node at hand
  NarBuffer out_;
  std::vector<Folder> folders_;
};

}  // namespace

void dump_nar(int directory_fd, const std::string& path, Sink& sink) {
  NarDump(directory_fd, path, sink).run();
}

}  // namespace airlock
