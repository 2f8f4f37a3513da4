#include "fusefs/past_views.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace airlock::fusefs {
namespace {

/// "0:57", as statx tells it.
std::optional<std::uint64_t> parse_device(const std::string& text) {
  std::istringstream in(text);
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  char colon = 0;
  if (!(in >> major >> colon >> minor) || colon != ':' || !in.eof()) return std::nullopt;
  return (std::uint64_t{major} << 32) | minor;
}

}  // namespace

std::optional<HeldView> held_view_in_line(const std::string& line, const std::string& target) {
  // "<id> <parent> <device> <root> <mount point> …"; of a folder that is gone: "<root>//deleted".
  std::istringstream words(line);
  std::string skipped;
  std::string device;
  std::string root;
  std::string place;
  if (!(words >> skipped >> skipped >> device >> root >> place) || place != target)
    return std::nullopt;
  const auto number = parse_device(device);
  if (!number || !root.starts_with('/')) return std::nullopt;
  return HeldView{*number, root.substr(1, root.find('/', 1) - 1)};
}

std::optional<HeldView> held_view(const FirstProcess& first, const std::string& target,
                                  const std::vector<std::uint64_t>& devices) {
  std::ifstream mounts("/proc/" + std::to_string(first.stamp.pid) + "/mountinfo");
  std::optional<HeldView> held;
  for (std::string line; std::getline(mounts, line);) {
    auto found = held_view_in_line(line, target);
    // The last one is on top.
    if (found) held = std::move(found);
  }
  const bool ours =
      held && std::find(devices.begin(), devices.end(), held->device) != devices.end();
  if (!ours || !is_alive(first.process.get())) return std::nullopt;
  return held;
}

std::vector<std::uint64_t> PastViews::load() const {
  std::vector<std::uint64_t> devices;
  std::ifstream in(file_);
  for (std::uint64_t device = 0; in >> device;) devices.push_back(device);
  return devices;
}

void PastViews::save(const std::vector<std::uint64_t>& devices) const {
  const auto temporary = file_ + ".new";
  {
    std::ofstream out(temporary, std::ios::trunc);
    for (const auto device : devices) out << device << '\n';
    out.flush();
    if (out && std::rename(temporary.c_str(), file_.c_str()) == 0) return;
  }
  const auto sentence = failure("write " + file_);
  ::unlink(temporary.c_str());
  throw std::runtime_error(sentence);
}

}  // namespace airlock::fusefs
