#pragma once

#include <functional>
#include <span>

#include "daemon/core/stream.hpp"
#include "daemon/wire/upload.hpp"

namespace airlock {

/// An upload on its way to the daemon: whatever is read here has gone on, as it came. Not
/// thread-safe.
class PassingUpload final : public Source {
 public:
  PassingUpload(wire::Upload& upload, Sink& daemon) : upload_(upload), daemon_(daemon) {}
  /// Also throws ConnectionOver at the end of a framed upload: that alone leaves it unbroken.
  void read(std::span<char> buffer) override;
  /// Of a framed one: at most the buffer's length; 0 at the end.
  std::size_t read_some(std::span<char> buffer);
  /// What nobody has read of a framed upload.
  void pass_rest();
  [[nodiscard]] bool is_framed() const { return upload_.is_framed(); }
  /// One of the two sides is over.
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  wire::Upload& upload_;
  Sink& daemon_;
  bool broken_ = false;
};

/// Looks at an upload's content while it is passed on: reads as much of it as it wants, of one
/// that is not framed the one archive to its end. Empty: nobody looks.
using UploadWatch = std::function<void(PassingUpload&)>;

}  // namespace airlock
