#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/store_layout.hpp"
#include "daemon/core/stream.hpp"

namespace airlock::wire {

/// A version of the worker protocol, 1.34 as {1, 34}. On the wire it is major << 8 | minor.
struct Version {
  std::uint8_t major = 0;
  std::uint8_t minor = 0;
  auto operator<=>(const Version&) const = default;
  [[nodiscard]] std::uint64_t encoded() const { return (std::uint64_t{major} << 8) | minor; }
  [[nodiscard]] static Version decode(std::uint64_t value) {
    return {static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
  }
  [[nodiscard]] std::string print() const;
};

/// Nix 2.3 speaks 1.21. 1.20 is what airlock offers to a daemon whose uploads it would rather send
/// without being asked for them piece by piece (1.21 and 1.22).
inline constexpr Version oldest{1, 20};
inline constexpr Version newest{1, 38};

/// Where the shape of what is sent changes.
namespace since {
inline constexpr Version tunnelled_nar{1, 21};     ///< AddToStoreNar: READ messages ask for it
inline constexpr Version substitutable_ca{1, 22};  ///< QuerySubstitutablePathInfos: a map
inline constexpr Version framed_nar{1, 23};        ///< AddToStoreNar: framed
inline constexpr Version content_addresses{1,
                                           25};  ///< AddToStore: a method, framed; path info back
inline constexpr Version structured_errors{1, 26};
inline constexpr Version valid_paths_substitute{1, 27};
inline constexpr Version built_outputs{1, 28};
inline constexpr Version build_times{1, 29};
inline constexpr Version derived_paths{1, 30};  ///< targets say whether a .drv is to be built
inline constexpr Version realisation_json{1, 31};
inline constexpr Version nix_version{1, 33};    ///< the handshake tells it
inline constexpr Version build_results{1, 34};  ///< BuildPathsWithResults
inline constexpr Version trust{1, 35};          ///< the handshake tells it
inline constexpr Version cpu_times{1, 37};
inline constexpr Version features{1, 38};
}  // namespace since

/// Nix's own daemon caps nothing; these are checked before a byte is allocated.
struct Caps {
  std::uint64_t string_bytes = 64ull << 20;
  std::uint64_t list_items = 1ull << 20;
  /// What strings and list items may take since Reader::begin; an upload's bytes are no strings.
  std::uint64_t message_bytes = ~0ull;
};

using StorePathSet = std::set<StorePath>;

/// Decodes the protocol's primitives from a Source. Every method throws ConnectionOver with one
/// sentence when what it reads is not what the protocol allows. Not thread-safe.
class Reader {
 public:
  Reader(Source& source, const StoreLayout& layout, Caps caps)
      : source_(source), layout_(layout), caps_(caps) {}

  /// A request begins, or a piece of its upload, or a message of a server's: what it may take is
  /// counted from here. A reply is part of the message before it.
  void begin() { taken_ = 0; }

  std::uint64_t u64();
  std::uint32_t u32(const char* what);  ///< a u64 on the wire that must fit
  bool boolean();
  std::string string();
  /// A string of at most `most` bytes, where the field has a bound of its own.
  std::string string(std::uint64_t most, const char* what);
  std::vector<std::string> strings();
  StorePath path();
  std::optional<StorePath> optional_path();  ///< "" for none
  StorePathSet paths();
  /// The count in front of a list, set or map, within the caps.
  std::uint64_t count();
  /// What was read falls into so many parts, each of which will be held by itself.
  void parts(std::uint64_t number);
  void raw(std::span<char> buffer) { source_.read(buffer); }

  [[nodiscard]] Source& source() { return source_; }
  [[nodiscard]] const StoreLayout& layout() const { return layout_; }

  /// False once something was read that means the same as other bytes would: a set that is not in
  /// order, a truth value over 1. What was read so is encoded in the one form that Nix writes.
  [[nodiscard]] bool canonical() const { return canonical_; }
  void not_canonical() { canonical_ = false; }

 private:
  Source& source_;
  const StoreLayout& layout_;
  /// Throws when a request goes over what it may take.
  void take(std::uint64_t bytes);

  Caps caps_;
  std::uint64_t taken_ = 0;
  bool canonical_ = true;
};

/// Encodes the protocol's primitives into a Sink. Not thread-safe.
class Writer {
 public:
  Writer(Sink& sink, const StoreLayout& layout) : sink_(sink), layout_(layout) {}

  void u64(std::uint64_t value);
  void boolean(bool value) { u64(value ? 1 : 0); }
  void string(std::string_view text);
  void strings(const std::vector<std::string>& texts);
  void path(const StorePath& path) { string(layout_.print(path)); }
  void optional_path(const std::optional<StorePath>& path);
  void paths(const StorePathSet& paths);
  void raw(std::string_view bytes) { sink_.write(bytes); }
  void flush() { sink_.flush(); }
  [[nodiscard]] const StoreLayout& layout() const { return layout_; }

 private:
  Sink& sink_;
  const StoreLayout& layout_;
};

/// A writer's bytes as they are: for NARs outside of frames.
class RawSink final : public Sink {
 public:
  explicit RawSink(Writer& writer) : writer_(writer) {}
  void write(std::string_view bytes) override { writer_.raw(bytes); }

 private:
  Writer& writer_;
};

/// The framed stream of protocol 1.23 and later, read: (u64 length > 0, bytes)* 0. drain must be
/// called before the connection is used again, also after a fault in the content.
class FramedSource final : public Source {
 public:
  explicit FramedSource(Reader& reader) : reader_(reader) {}
  void read(std::span<char> buffer) override;
  /// Reads at most the buffer's length; 0 at the end of the stream.
  std::size_t read_some(std::span<char> buffer);
  /// Reads and drops what is left, up to and with the closing frame; at most so many bytes.
  void drain(std::uint64_t most);

 private:
  bool next_frame();
  Reader& reader_;
  std::uint64_t left_ = 0;
  bool ended_ = false;
};

/// The framed stream, written. finish writes the closing frame.
class FramedSink final : public Sink {
 public:
  explicit FramedSink(Writer& writer) : writer_(writer) {}
  void write(std::string_view bytes) override;
  void finish();

 private:
  void flush_frame();
  void send_frame(std::string_view bytes);
  Writer& writer_;
  std::string buffer_;
};

}  // namespace airlock::wire
