#include "daemon/wire/codec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

namespace airlock::wire {

namespace {

constexpr std::size_t alignment = 8;
constexpr std::size_t frame_size = 64 * 1024;
constexpr std::size_t part_size = 96;  // a short string in a set
constexpr std::size_t item_size = 32;  // what an item of a list takes beside its text, at least

std::size_t padding_of(std::uint64_t length) {
  return static_cast<std::size_t>((alignment - length % alignment) % alignment);
}

}  // namespace

std::string Version::print() const {
  return fmt::format("{}.{}", major, minor);
}

std::uint64_t Reader::u64() {
  std::array<char, 8> bytes{};
  source_.read(bytes);
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::uint32_t Reader::u32(const char* what) {
  const auto value = u64();
  if (value > std::numeric_limits<std::uint32_t>::max())
    throw ConnectionOver(fmt::format("{} {} does not fit in 32 bits", what, value));
  return static_cast<std::uint32_t>(value);
}

bool Reader::boolean() {
  const auto value = u64();
  if (value > 1) not_canonical();
  return value != 0;
}

std::string Reader::string() {
  return string(caps_.string_bytes, "a string");
}

std::string Reader::string(std::uint64_t most, const char* what) {
  const auto length = u64();
  if (length > std::min(most, caps_.string_bytes))
    throw ConnectionOver(fmt::format("{} of {} bytes is over the limit of {}", what, length,
                                     std::min(most, caps_.string_bytes)));
  take(length);
  // Grown as the bytes arrive: a length is a claim, and a claim must not allocate.
  std::string text;
  while (text.size() < length) {
    const auto piece = std::min<std::uint64_t>(length - text.size(), frame_size);
    const auto old = text.size();
    text.resize(old + static_cast<std::size_t>(piece));
    source_.read({text.data() + old, static_cast<std::size_t>(piece)});
  }
  std::array<char, alignment> padding{};
  source_.read({padding.data(), padding_of(length)});
  if (std::any_of(padding.begin(), padding.end(), [](char c) { return c != 0; }))
    throw ConnectionOver("the padding of a string is not zero");
  return text;
}

std::uint64_t Reader::count() {
  const auto value = u64();
  if (value > caps_.list_items)
    throw ConnectionOver(
        fmt::format("a list of {} items is over the limit of {}", value, caps_.list_items));
  take(value * item_size);
  return value;
}

void Reader::parts(std::uint64_t number) {
  take(number * part_size);
}

void Reader::take(std::uint64_t bytes) {
  taken_ += bytes;
  if (taken_ > caps_.message_bytes)
    throw ConnectionOver(
        fmt::format("a message takes more than {} bytes of memory", caps_.message_bytes));
}

std::vector<std::string> Reader::strings() {
  std::vector<std::string> texts;
  for (auto n = count(); n > 0; --n) texts.push_back(string());
  return texts;
}

StorePath Reader::path() {
  auto parsed = layout_.parse(string(4096, "a store path"));
  if (!parsed) throw ConnectionOver(parsed.error());
  return *std::move(parsed);
}

std::optional<StorePath> Reader::optional_path() {
  const auto text = string(4096, "a store path");
  if (text.empty()) return std::nullopt;
  auto parsed = layout_.parse(text);
  if (!parsed) throw ConnectionOver(parsed.error());
  return *std::move(parsed);
}

StorePathSet Reader::paths() {
  StorePathSet paths;
  for (auto n = count(); n > 0; --n) {
    auto next = path();
    if (!paths.empty() && next <= *paths.rbegin()) not_canonical();
    paths.insert(std::move(next));
  }
  return paths;
}

void Writer::u64(std::uint64_t value) {
  std::array<char, 8> bytes{};
  for (auto& byte : bytes) {
    byte = static_cast<char>(value & 0xff);
    value >>= 8;
  }
  sink_.write({bytes.data(), bytes.size()});
}

void Writer::string(std::string_view text) {
  static constexpr std::array<char, alignment> zeros{};
  u64(text.size());
  sink_.write(text);
  sink_.write({zeros.data(), padding_of(text.size())});
}

void Writer::strings(const std::vector<std::string>& texts) {
  u64(texts.size());
  for (const auto& text : texts) string(text);
}

void Writer::optional_path(const std::optional<StorePath>& path) {
  string(path ? layout_.print(*path) : std::string());
}

void Writer::paths(const StorePathSet& paths) {
  u64(paths.size());
  for (const auto& path : paths) this->path(path);
}

bool FramedSource::next_frame() {
  if (ended_) return false;
  left_ = reader_.u32("the length of a frame");
  ended_ = left_ == 0;
  return !ended_;
}

std::size_t FramedSource::read_some(std::span<char> buffer) {
  if (left_ == 0 && !next_frame()) return 0;
  const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(left_, buffer.size()));
  reader_.raw(buffer.first(piece));
  left_ -= piece;
  return piece;
}

void FramedSource::read(std::span<char> buffer) {
  while (!buffer.empty()) {
    const auto piece = read_some(buffer);
    if (piece == 0) throw ConnectionOver("the upload ended before the data in it was complete");
    buffer = buffer.subspan(piece);
  }
}

void FramedSource::drain(std::uint64_t most) {
  std::array<char, 4096> scrap{};
  std::uint64_t thrown_away = 0;
  while (const auto piece = read_some(scrap)) {
    thrown_away += piece;
    if (thrown_away > most)
      throw ConnectionOver(fmt::format("an upload goes on for more than {} bytes", most));
  }
}

void FramedSink::write(std::string_view bytes) {
  if (bytes.size() >= frame_size) {  // a frame of its own, without a copy
    flush_frame();
    send_frame(bytes);
    return;
  }
  buffer_.append(bytes);
  if (buffer_.size() >= frame_size) flush_frame();
}

void FramedSink::flush_frame() {
  if (buffer_.empty()) return;
  send_frame(buffer_);
  buffer_.clear();
}

void FramedSink::send_frame(std::string_view bytes) {
  writer_.u64(bytes.size());
  writer_.raw(bytes);
}

void FramedSink::finish() {
  flush_frame();
  writer_.u64(0);
}

}  // namespace airlock::wire
