#include "daemon/wire/upload.hpp"

#include <algorithm>
#include <string>

#include "daemon/core/nar.hpp"
#include "daemon/wire/log.hpp"

namespace airlock::wire {

namespace {

class FramedUpload final : public Upload {
 public:
  explicit FramedUpload(Reader& from) : frames_(from) {}
  void read(std::span<char> buffer) override { frames_.read(buffer); }
  [[nodiscard]] bool is_framed() const override { return true; }
  std::size_t read_some(std::span<char> buffer) override { return frames_.read_some(buffer); }
  void drain(std::uint64_t most) override { frames_.drain(most); }

 private:
  FramedSource frames_;
};

/// A NAR with nothing around it: before protocol 1.25 and 1.23.
class ArchiveUpload final : public Upload {
 public:
  explicit ArchiveUpload(Reader& from) : from_(from) {}
  void read(std::span<char> buffer) override {
    begun_ = true;
    from_.raw(buffer);
  }
  void drain(std::uint64_t most) override {
    if (begun_) return;  // whoever begins reads it to its end, or the connection is over
    class Nowhere final : public Sink {
      void write(std::string_view) override {}
    } nowhere;
    NarLimits limits;
    limits.size = most;
    copy_nar(*this, nowhere, limits);
  }

 private:
  Reader& from_;
  bool begun_ = false;
};

/// A NAR in pieces that are asked for: protocols 1.21 and 1.22. Nothing comes unasked, so there is
/// nothing to drain, and nothing is asked for beyond the NAR's end.
class TunnelledUpload final : public Upload {
 public:
  TunnelledUpload(Reader& from, Writer& to, Version version)
      : from_(from), to_(to), version_(version) {}
  void read(std::span<char> buffer) override {
    while (!buffer.empty()) {
      if (taken_ == piece_.size()) ask();
      const auto n = std::min(buffer.size(), piece_.size() - taken_);
      piece_.copy(buffer.data(), n, taken_);
      taken_ += n;
      buffer = buffer.subspan(n);
    }
  }
  void drain(std::uint64_t) override {}

 private:
  void ask() {
    write_log_message(to_, ReadRequest{most_}, version_);
    to_.flush();
    from_.begin();  // the pieces before are gone: together they may be larger than a request
    piece_ = from_.string(most_, "a piece of an upload");
    taken_ = 0;
    if (piece_.empty()) throw ConnectionOver("the upload ended before the data in it was complete");
  }

  static constexpr std::uint64_t most_ = 64 * 1024;
  Reader& from_;
  Writer& to_;
  Version version_;
  std::string piece_;
  std::size_t taken_ = 0;
};

}  // namespace

std::size_t Upload::read_some(std::span<char>) {
  throw ConnectionOver("an upload's end cannot be found but by its content");
}

std::unique_ptr<Upload> open_upload(Body body, Reader& from, Writer& to, Version version) {
  switch (body) {
    case Body::none:
      break;
    case Body::framed:
      return std::make_unique<FramedUpload>(from);
    case Body::archive:
      return std::make_unique<ArchiveUpload>(from);
    case Body::tunnelled:
      return std::make_unique<TunnelledUpload>(from, to, version);
  }
  return nullptr;
}

}  // namespace airlock::wire
