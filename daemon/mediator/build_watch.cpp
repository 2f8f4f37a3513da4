#include "daemon/mediator/build_watch.hpp"

#include <spdlog/spdlog.h>

namespace airlock {

BuildWatch::BuildWatch(Builds& builds, CountUsers count_users, End end)
    : builds_(builds),
      count_users_(std::move(count_users)),
      end_(std::move(end)),
      thread_([this] { run(); }) {}

BuildWatch::~BuildWatch() {
  builds_.stop();
  thread_.join();
}

void BuildWatch::run() {
  std::optional<Builds::Clock::time_point> next;
  while (builds_.wait_for_change(next)) {
    try {
      const auto users = builds_.may_want_users() ? count_users_() : std::nullopt;
      const auto outlook = builds_.look(Builds::Clock::now(), users);
      next = outlook.next;
      for (const auto& ending : outlook.endings) end_(ending);
    } catch (const std::exception& unexpected) {
      // Memory: without this thread requests could wait for ever, so it goes on.
      spdlog::error("watching over builds: {}", unexpected.what());
      next = Builds::Clock::now() + std::chrono::seconds(1);
    }
  }
}

}  // namespace airlock
