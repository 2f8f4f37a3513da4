#include "daemon/mediator/passing_upload.hpp"

#include <array>

namespace airlock {

std::size_t PassingUpload::read_some(std::span<char> buffer) {
  broken_ = true;  // if one of these throws
  auto n = buffer.size();
  if (upload_.is_framed())
    n = upload_.read_some(buffer);
  else
    upload_.read(buffer);
  if (n > 0) daemon_.write({buffer.data(), n});
  broken_ = false;
  return n;
}

void PassingUpload::read(std::span<char> buffer) {
  while (!buffer.empty()) {
    const auto n = read_some(buffer);
    if (n == 0) throw ConnectionOver("the upload ended before the data in it was complete");
    buffer = buffer.subspan(n);
  }
}

void PassingUpload::pass_rest() {
  std::array<char, 64 * 1024> buffer{};
  while (read_some(buffer) > 0) {
  }
}

}  // namespace airlock
