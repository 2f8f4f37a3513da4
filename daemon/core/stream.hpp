#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace airlock {

/// Thrown when a connection cannot go on: the peer is gone, slow past its deadline, or sent what
/// the protocol does not allow. The only failure that is an exception; what() is one sentence.
class ConnectionOver : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Bytes to be read in order. Not thread-safe.
class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;
  /// Fills the whole buffer or throws ConnectionOver.
  virtual void read(std::span<char> buffer) = 0;
};

/// Where bytes go, in order. Not thread-safe. May buffer until flush.
class Sink {
 public:
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;
  virtual void write(std::string_view bytes) = 0;
  virtual void flush() {}
};

/// Reads from memory; for tests, and for parts that were bounded before they were read.
class StringSource final : public Source {
 public:
  explicit StringSource(std::string_view bytes) : rest_(bytes) {}
  void read(std::span<char> buffer) override {
    if (buffer.size() > rest_.size()) throw ConnectionOver("the data ends too early");
    rest_.copy(buffer.data(), buffer.size());
    rest_.remove_prefix(buffer.size());
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

class StringSink final : public Sink {
 public:
  void write(std::string_view bytes) override { text_.append(bytes); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace airlock
