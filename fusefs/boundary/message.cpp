#include "fusefs/boundary/message.hpp"

#include <optional>
#include <stdexcept>

namespace airlock::boundary {
namespace {

constexpr std::uint32_t format_version = 1;
constexpr std::size_t header_size = 4 + 4 + 8 + 8 + 4;

bool is_known(std::uint32_t type) {
  switch (static_cast<MessageType>(type)) {
    case MessageType::announce:
    case MessageType::settled:
    case MessageType::status:
    case MessageType::announced:
    case MessageType::refused:
    case MessageType::done:
    case MessageType::status_is:
    case MessageType::session_opened:
    case MessageType::session_ended:
    case MessageType::session_settled:
    case MessageType::session_closed:
    case MessageType::welcome:
    case MessageType::session_resumed:
    case MessageType::resumption_over:
    case MessageType::session_ready:
    case MessageType::session_refused:
    case MessageType::reveal:
    case MessageType::grant:
    case MessageType::verify:
    case MessageType::condemn:
    case MessageType::succeeded:
    case MessageType::failed:
      return true;
  }
  return false;
}

template <typename T>
void put(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<char>(static_cast<unsigned char>(value >> (8 * i))));
  }
}

/// Takes integers and strings off the front of a packet; nothing once it has run out.
class Cursor {
 public:
  explicit Cursor(std::string_view rest) : rest_(rest) {}

  template <typename T>
  std::optional<T> take() {
    if (rest_.size() < sizeof(T)) return std::nullopt;
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      value |= static_cast<T>(static_cast<unsigned char>(rest_[i])) << (8 * i);
    }
    rest_.remove_prefix(sizeof(T));
    return value;
  }

  std::optional<std::string_view> take_bytes(std::size_t count) {
    if (rest_.size() < count) return std::nullopt;
    const auto bytes = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return bytes;
  }

  [[nodiscard]] std::size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
};

tl::unexpected<std::string> malformed(std::string sentence) {
  return tl::unexpected<std::string>(std::move(sentence));
}

}  // namespace

std::string encode(const Message& message) {
  if (message.strings.size() > max_strings) {
    throw std::length_error("a message of the boundary holds too many strings");
  }
  std::size_t size = header_size;
  for (const auto& text : message.strings) {
    if (text.size() > max_packet) size = max_packet;
    size += 4 + text.size();
    if (size > max_packet) throw std::length_error("a message of the boundary is too long");
  }
  std::string out;
  out.reserve(size);
  put(out, format_version);
  put(out, static_cast<std::uint32_t>(message.type));
  put(out, message.session);
  put(out, message.request);
  put(out, static_cast<std::uint32_t>(message.strings.size()));
  for (const auto& text : message.strings) {
    put(out, static_cast<std::uint32_t>(text.size()));
    out += text;
  }
  return out;
}

tl::expected<Message, std::string> decode(std::string_view packet) {
  if (packet.size() > max_packet) return malformed("a packet of the boundary is too long");
  if (packet.size() < header_size) return malformed("a packet of the boundary is too short");
  Cursor cursor(packet);
  if (*cursor.take<std::uint32_t>() != format_version) {
    return malformed("a packet of the boundary has another format: airlock's programs differ");
  }
  const auto type = *cursor.take<std::uint32_t>();
  if (!is_known(type)) return malformed("a packet of the boundary has an unknown type");
  Message message;
  message.type = static_cast<MessageType>(type);
  message.session = *cursor.take<std::uint64_t>();
  message.request = *cursor.take<std::uint64_t>();
  const auto count = *cursor.take<std::uint32_t>();
  if (count > max_strings) return malformed("a packet of the boundary holds too many strings");
  // Every string takes at least its length: a count that cannot fit reserves no memory.
  if (count > cursor.left() / 4) return malformed("a packet of the boundary is truncated");
  message.strings.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto length = cursor.take<std::uint32_t>();
    if (!length) return malformed("a packet of the boundary is truncated");
    const auto bytes = cursor.take_bytes(*length);
    if (!bytes) return malformed("a packet of the boundary is truncated");
    message.strings.emplace_back(*bytes);
  }
  if (cursor.left() != 0) return malformed("a packet of the boundary has bytes left over");
  return message;
}

}  // namespace airlock::boundary
