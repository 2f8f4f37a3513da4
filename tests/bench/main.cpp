// The bench of the worker protocol: one static program that plays both clients, the one that talks
// to nix-daemon and the one inside a sandbox that talks to airlock, and asks them in turn.
//
//   wire-bench lead CONTROL [MEASURE…]        waits for two workers, prints the table
//   wire-bench work CONTROL SIDE SOCKET FOLDER
//   wire-bench nar BYTES SEED                 writes an archive that a worker will upload
//   wire-bench fetch SOCKET PATH BYTES        and the other tasks of tasks.hpp, for tests
#include <fmt/format.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <thread>

#include "tests/bench/measures.hpp"
#include "tests/bench/tasks.hpp"

namespace {

using namespace airlock;
using namespace airlock::bench;

/// Lines over a socket, between the leader and a worker.
class Lines {
 public:
  explicit Lines(Fd fd) : fd_(std::move(fd)) {}
  void put(std::string line) {
    line += '\n';
    for (std::string_view rest = line; !rest.empty();) {
      const auto n = ::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (n <= 0) throw std::runtime_error("the other side is gone");
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  /// Empty at the end.
  std::string get() {
    for (;;) {
      if (const auto end = rest_.find('\n'); end != std::string::npos) {
        auto line = rest_.substr(0, end);
        rest_.erase(0, end + 1);
        return line;
      }
      std::array<char, 4096> piece{};
      const auto n = ::read(fd_.get(), piece.data(), piece.size());
      if (n <= 0) return {};
      rest_.append(piece.data(), static_cast<std::size_t>(n));
    }
  }

 private:
  Fd fd_;
  std::string rest_;
};

int work(const std::string& control, const std::string& side, const std::string& socket,
         const std::string& folder) {
  Lines leader(connect_to(control));
  leader.put(side);
  Bench bench(socket, side, Material::read(folder, side));
  for (auto measure = leader.get(); !measure.empty(); measure = leader.get()) {
    std::string answer;
    try {
      for (const auto sample : bench.run(measure)) answer += fmt::format(" {:.9f}", sample);
    } catch (const std::exception& fault) {
      answer = fmt::format("!{}: {}: {}", side, measure, fault.what());
      std::replace(answer.begin(), answer.end(), '\n', ' ');
    }
    leader.put(answer);
  }
  return 0;
}

/// Keeps every processor awake with what gives way to everything: to wake a sleeping one takes
/// longer than most of what is measured, and would be most of what is seen. Not while more than a
/// question and its answer is under way: a processor that is kept awake does not look for work that
/// waits at another, which is then found at the next tick, 4 ms later.
class Awake {
 public:
  Awake() {
    for (auto n = std::thread::hardware_concurrency(); n > 0; --n) {
      threads_.emplace_back([this] {
        const sched_param none{};
        if (::sched_setscheduler(0, SCHED_IDLE, &none) != 0) return;
        while (!over_.load(std::memory_order_relaxed)) {
        }
      });
    }
  }
  ~Awake() {
    over_ = true;
    for (auto& thread : threads_) thread.join();
  }
  Awake(const Awake&) = delete;
  Awake& operator=(const Awake&) = delete;

 private:
  std::atomic<bool> over_{false};
  std::vector<std::thread> threads_;
};

using Workers = std::map<std::string, Lines>;

Workers await_workers(const std::string& control) {
  const Fd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  control.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(control.c_str(), 0666) != 0 || ::listen(listening.get(), 2) != 0)
    throw std::runtime_error("cannot listen at " + control);
  Workers workers;
  while (!workers.contains("direct") || !workers.contains("airlock")) {
    Lines worker(Fd(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    auto side = worker.get();
    workers.try_emplace(std::move(side), std::move(worker));
  }
  return workers;
}

std::vector<double> ask(Lines& worker, std::string_view measure) {
  worker.put(std::string(measure));
  const auto answer = worker.get();
  if (answer.empty()) throw std::runtime_error("a worker is gone");
  if (answer.front() == '!') throw std::runtime_error(answer.substr(1));
  std::vector<double> samples;
  std::istringstream words(answer);
  for (double sample = 0; words >> sample;) samples.push_back(sample);
  return samples;
}

/// Sorted, at this fraction of the way; 0.5: the median.
double quantile(std::vector<double> samples, double fraction) {
  std::sort(samples.begin(), samples.end());
  const auto at = fraction * static_cast<double>(samples.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const auto above = std::min(below + 1, samples.size() - 1);
  return samples[below] + (at - static_cast<double>(below)) * (samples[above] - samples[below]);
}

std::string in_units(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.2f} s", seconds);
}

constexpr std::chrono::milliseconds pause{50};

int lead(const std::string& control, const std::vector<std::string>& wanted) {
  auto workers = await_workers(control);
  std::optional<Awake> awake;
  // On a machine that does other things as well, the fastest tenth is nearer to what it costs.
  fmt::print("{:<48} {:>6} {:>31} {:>5} {:>28}\n", "", "", "medians      ", "",
             "the tenth percentile    ");
  fmt::print("{:<48} {:>6} {:>11} {:>11} {:>7} {:>5} {:>10} {:>10} {:>6}\n", "what", "times",
             "direct", "airlock", "ratio", "aim", "direct", "airlock", "ratio");
  for (const auto& row : rows()) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), row.measure) == wanted.end())
      continue;
    if (row.spreads)
      awake.reset();
    else if (!awake)
      awake.emplace();
    std::map<std::string, std::vector<double>> samples;
    for (int round = 0; round < row.rounds; ++round) {
      // In turn, and each side first in half of the rounds.
      const bool direct_first = round % 2 == 0;
      for (const auto* side :
           {direct_first ? "direct" : "airlock", direct_first ? "airlock" : "direct"}) {
        const auto taken = ask(workers.at(side), row.measure);
        // What one side leaves behind, processes that end above all, is not the other's to pay.
        std::this_thread::sleep_for(pause);
        auto& all = samples[side];
        all.insert(all.end(), taken.begin(), taken.end());
      }
    }
    const auto& direct = samples["direct"];
    const auto& airlock = samples["airlock"];
    const auto middle = std::pair{quantile(direct, 0.5), quantile(airlock, 0.5)};
    const auto fast = std::pair{quantile(direct, 0.1), quantile(airlock, 0.1)};
    fmt::print("{:<48} {:>6} {:>11} {:>11} {:>7.2f} {:>5} {:>10} {:>10} {:>6.2f}\n", row.title,
               direct.size(), in_units(middle.first), in_units(middle.second),
               middle.second / middle.first, row.aim > 0 ? fmt::format("{:.1f}", row.aim) : "-",
               in_units(fast.first), in_units(fast.second), fast.second / fast.first);
    std::fflush(stdout);
  }
  return 0;
}

class StandardOutput final : public Sink {
 public:
  void write(std::string_view bytes) override { std::cout << bytes; }
};

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() >= 2 && words[0] == "lead")
      return lead(words[1], {words.begin() + 2, words.end()});
    if (words.size() == 5 && words[0] == "work")
      return work(words[1], words[2], words[3], words[4]);
    if (words.size() == 4 && words[0] == "fetch") {
      fetch(words[1], words[2], std::stoull(words[3]));
      return 0;
    }
    if (words.size() == 6 && words[0] == "send") {
      send(words[1], words[2], words[3], std::stoull(words[4]), words[5]);
      return 0;
    }
    if (words.size() == 6 && words[0] == "crowd") {
      crowd(words[1], words[2], words[3], std::stoul(words[4]), std::stoul(words[5]));
      return 0;
    }
    if (words.size() == 3 && words[0] == "nar") {
      StandardOutput output;
      write_large_nar(output, std::stoull(words[1]), words[2]);
      return std::cout.flush() ? 0 : 1;
    }
  } catch (const std::exception& fault) {
    std::cerr << "wire-bench: " << fault.what() << std::endl;
    return 1;
  }
  std::cerr << "usage: wire-bench lead|work|nar|fetch|send|crowd … (see main.cpp)" << std::endl;
  return 3;
}
