#include "fusefs/view/guest_program.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include "fusefs/kernel.hpp"

namespace airlock::fusefs {

GuestProgram::GuestProgram(const std::string& path)
    : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) {
  struct stat status {};
  if (!file_ || ::fstat(file_.get(), &status) != 0)
    throw std::runtime_error(failure("open the program for sandboxes, " + path) +
                             "; --guest says where it is");
  if (!S_ISREG(status.st_mode))
    throw std::runtime_error("the program for sandboxes, " + path +
                             ", is not a regular file; --guest says where it is");
  size_ = static_cast<std::uint64_t>(status.st_size);
}

tl::expected<std::string, std::errc> GuestProgram::read(std::size_t size,
                                                        std::uint64_t offset) const {
  const auto start = std::min(offset, size_);
  std::string bytes(std::min<std::uint64_t>(size, size_ - start), '\0');
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const auto got = ::pread(file_.get(), bytes.data() + filled, bytes.size() - filled,
                             static_cast<off_t>(start + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return tl::unexpected(std::errc::io_error);
    filled += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace airlock::fusefs
