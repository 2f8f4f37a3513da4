#include "daemon/command/sandbox_paths.hpp"

namespace airlock::command {

std::string with_sandbox_path(std::string_view printed, std::string_view target,
                              std::string_view source) {
  printed = printed.substr(0, printed.rfind('\n') + 1);  // npos + 1 is 0: no whole line
  bool within = false;
  for (std::string_view rest = printed; !rest.empty();) {
    const auto end = rest.find('\n');
    const bool blank = end == 0;
    within = within ? !blank : rest.substr(0, end).starts_with("extra-");
    rest.remove_prefix(end + 1);
  }
  std::string text(printed);
  if (!within) text += "extra-sandbox-paths\n";
  text.append(target).append("=").append(source).append("\n\n");
  return text;
}

}  // namespace airlock::command
