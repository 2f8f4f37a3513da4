#include "daemon/wire/log.hpp"

#include <fmt/format.h>

namespace airlock::wire {

namespace {

constexpr std::uint64_t code_next = 0x6f6c6d67;
constexpr std::uint64_t code_last = 0x616c7473;
constexpr std::uint64_t code_error = 0x63787470;
constexpr std::uint64_t code_start = 0x53545254;
constexpr std::uint64_t code_stop = 0x53544f50;
constexpr std::uint64_t code_result = 0x52534c54;
constexpr std::uint64_t code_read = 0x64617461;
constexpr std::uint64_t code_write = 0x64617416;

std::vector<Field> read_fields(Reader& from) {
  std::vector<Field> fields;
  for (auto n = from.count(); n > 0; --n) {
    const auto type = from.u64();
    if (type == 0)
      fields.emplace_back(from.u64());
    else if (type == 1)
      fields.emplace_back(from.string());
    else
      throw ConnectionOver(fmt::format("a log message has a field of unknown type {}", type));
  }
  return fields;
}

void write_fields(Writer& to, const std::vector<Field>& fields) {
  to.u64(fields.size());
  for (const auto& field : fields) {
    to.u64(field.index());
    if (const auto* number = std::get_if<std::uint64_t>(&field))
      to.u64(*number);
    else
      to.string(std::get<std::string>(field));
  }
}

Error read_error(Reader& from, Version version) {
  Error error;
  if (version < since::structured_errors) {
    error.message = from.string();
    error.status = from.u64();
    return error;
  }
  if (from.string(64, "the kind of an error") != "Error")
    throw ConnectionOver("an error is of a kind that no Nix sends");
  error.level = from.u64();
  error.name = from.string(4096, "the name of an error");
  error.message = from.string();
  if (from.u64() != 0) throw ConnectionOver("an error carries a position, which no Nix sends");
  for (auto n = from.count(); n > 0; --n) {
    if (from.u64() != 0) throw ConnectionOver("a trace carries a position, which no Nix sends");
    error.traces.push_back(from.string());
  }
  return error;
}

struct Encode {
  Writer& to;
  Version version;
  void operator()(const LogLine& line) const {
    to.u64(code_next);
    to.string(line.text);
  }
  void operator()(const StartActivity& start) const {
    to.u64(code_start);
    to.u64(start.id);
    to.u64(start.level);
    to.u64(start.type);
    to.string(start.text);
    write_fields(to, start.fields);
    to.u64(start.parent);
  }
  void operator()(const StopActivity& stop) const {
    to.u64(code_stop);
    to.u64(stop.id);
  }
  void operator()(const ActivityResult& result) const {
    to.u64(code_result);
    to.u64(result.id);
    to.u64(result.type);
    write_fields(to, result.fields);
  }
  void operator()(const Last&) const { to.u64(code_last); }
  void operator()(const Error& error) const {
    to.u64(code_error);
    if (version < since::structured_errors) {
      to.string(error.message);
      to.u64(error.status);
      return;
    }
    to.string("Error");
    to.u64(error.level);
    to.string(error.name);
    to.string(error.message);
    to.u64(0);
    to.u64(error.traces.size());
    for (const auto& trace : error.traces) {
      to.u64(0);
      to.string(trace);
    }
  }
  void operator()(const ReadRequest& request) const {
    to.u64(code_read);
    to.u64(request.most);
  }
  void operator()(const WriteData& data) const {
    to.u64(code_write);
    to.string(data.bytes);
  }
};

}  // namespace

LogMessage read_log_message(Reader& from, Version version) {
  // Designated braces evaluate in order, which is the order of the wire.
  switch (const auto code = from.u64()) {
    case code_next:
      return LogLine{from.string()};
    case code_start:
      return StartActivity{from.u64(),    from.u64(),        from.u64(),
                           from.string(), read_fields(from), from.u64()};
    case code_stop:
      return StopActivity{from.u64()};
    case code_result:
      return ActivityResult{from.u64(), from.u64(), read_fields(from)};
    case code_last:
      return Last{};
    case code_error:
      return read_error(from, version);
    case code_read:
      return ReadRequest{from.u64()};
    case code_write:
      return WriteData{from.string()};
    default:
      throw ConnectionOver(fmt::format("unknown message {:#x} from nix-daemon", code));
  }
}

void write_log_message(Writer& to, const LogMessage& message, Version version) {
  std::visit(Encode{to, version}, message);
}

}  // namespace airlock::wire
