#include <string_view>
#include <vector>

#include "daemon/core/nar.hpp"
#include "daemon/core/nar_buffer.hpp"
#include "daemon/core/quote.hpp"

namespace airlock {
namespace {

class NarCopy {
 public:
  NarCopy(Source& source, Sink& sink, const NarLimits& limits)
      : source_(source), out_(sink), limits_(limits) {}

  /// Keep the content of an archive that is one file of at most `limit` bytes.
  void keep(std::size_t limit, std::optional<SingleFile>& file) {
    keep_limit_ = limit;
    kept_ = &file;
  }

  std::uint64_t run() {
    expect(nar_magic);
    node();
    while (!entries_.empty()) {
      if (next_entry()) node();
    }
    out_.flush();
    return size_;
  }

 private:
  /// A file or symlink to its end, or a folder up to its first entry.
  void node() {
    expect("(");
    expect("type");
    const auto type = string(max_tag, "a tag");
    if (type == "regular") {
      file();
    } else if (type == "symlink") {
      symlink();
    } else if (type == "directory") {
      if (entries_.size() >= limits_.depth) fail("folders are nested too deeply");
      entries_.emplace_back();
    } else {
      fail(quote(type) + " is no type of file");
    }
  }

  void file() {
    auto tag = string(max_tag, "a tag");
    const bool executable = tag == "executable";
    if (executable) {
      expect("");
      tag = string(max_tag, "a tag");
    }
    if (tag != "contents") fail("expected 'contents', found " + quote(tag));
    contents(executable);
    close_node();
  }

  void symlink() {
    expect("target");
    const auto target = string(limits_.target_length, "a symlink's target");
    if (target.empty()) fail("a symlink's target is empty");
    if (target.find('\0') != std::string_view::npos) fail("a symlink's target holds a NUL");
    close_node();
  }

  /// The name of the current folder's next entry, or the folder's end (then false).
  bool next_entry() {
    const auto tag = string(max_tag, "a tag");
    if (tag == ")") {
      entries_.pop_back();
      close_entry();
      return false;
    }
    if (tag != "entry") fail("expected 'entry' or ')', found " + quote(tag));
    expect("(");
    expect("name");
    const auto name = string(limits_.name_length, "an entry's name");
    if (name.empty() || name == "." || name == ".." ||
        name.find_first_of(std::string_view("/\0", 2)) != std::string_view::npos) {
      fail(quote(name) + " cannot be an entry's name");
    }
    if (name <= entries_.back()) fail("entry " + quote(name) + " is out of order");
    entries_.back() = name;
    expect("node");
    return true;
  }

  void close_node() {
    expect(")");
    close_entry();
  }

  void close_entry() {
    if (!entries_.empty()) expect(")");
  }

  void contents(bool executable) {
    const auto size = integer();
    if (size > limits_.size - size_) fail("it is too large");
    const bool keep = kept_ != nullptr && entries_.empty() && size <= keep_limit_;
    if (keep) *kept_ = SingleFile{{}, executable};
    for (auto left = size; left > 0;) {
      const auto piece = take(std::min<std::uint64_t>(left, NarBuffer::capacity));
      if (keep) (*kept_)->content.append(piece);
      left -= piece.size();
    }
    padding(size);
  }

  void expect(std::string_view expected) {
    const auto found = string(max_tag, "a tag");
    if (found != expected) fail("expected " + quote(expected) + ", found " + quote(found));
  }

  /// The result is valid until the next read.
  std::string_view string(std::size_t limit, std::string_view what) {
    const auto size = integer();
    if (size > std::min(limit, max_string)) fail(std::string(what) + " is too long");
    // In one piece with its padding, so that the padding's room does not displace it.
    const auto padded = take(size + nar_padding(size));
    if (padded.find_first_not_of('\0', size) != std::string_view::npos) fail(bad_padding);
    return padded.substr(0, size);
  }

  void padding(std::uint64_t size) {
    if (take(nar_padding(size)).find_first_not_of('\0') != std::string_view::npos) {
      fail(bad_padding);
    }
  }

  std::uint64_t integer() {
    std::uint64_t value = 0;
    const auto bytes = take(8);
    for (std::size_t i = 8; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
  }

  /// The next n bytes of the archive, which become part of the copy once later ones are read.
  std::string_view take(std::size_t n) {
    if (n > limits_.size - size_) fail("it is too large");
    const auto room = out_.room(n).first(n);
    source_.read(room);
    out_.commit(n);
    size_ += n;
    return {room.data(), room.size()};
  }

  [[noreturn]] static void fail(const std::string& why) {
    throw ConnectionOver("the archive (NAR) is refused: " + why);
  }

  static constexpr std::size_t max_tag = nar_magic.size();
  static constexpr std::size_t max_string = NarBuffer::capacity / 2;
  static constexpr const char* bad_padding = "padding is not zero";

  Source& source_;
  NarBuffer out_;
  const NarLimits limits_;
  std::uint64_t size_ = 0;
  std::vector<std::string> entries_;  ///< of each open folder, the name of its latest entry
  std::size_t keep_limit_ = 0;
  std::optional<SingleFile>* kept_ = nullptr;
};

}  // namespace

std::uint64_t copy_nar(Source& source, Sink& sink, const NarLimits& limits) {
  return NarCopy(source, sink, limits).run();
}

std::uint64_t copy_nar(Source& source, Sink& sink, const NarLimits& limits, std::size_t limit,
                       std::optional<SingleFile>& file) {
  file.reset();
  NarCopy copy(source, sink, limits);
  copy.keep(limit, file);
  return copy.run();
}

}  // namespace airlock
