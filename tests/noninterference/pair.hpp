#pragma once

#include <array>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/noninterference/totals.hpp"
#include "tests/noninterference/world.hpp"

namespace noninterference {

/// The property does not hold; what() is the story.
class Differs : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A host as host.sh serves it.
class Host {
 public:
  Host(const std::string& folder, const airlock::StoreLayout& layout);
  /// Ends the session and begins another; returns the exit status of the old one, and why it was.
  std::pair<int, std::string> renew();
  [[nodiscard]] std::string socket() const { return folder_ + "/strict.sock"; }
  [[nodiscard]] Channel& own() { return own_; }  ///< the connection of the host's owner

 private:
  std::string folder_;
  airlock::Fd control_;
  airlock::Fd answer_;
  Channel own_;
};

/// The same client at two hosts, with two connections to each.
class Pair {
 public:
  Pair(const std::string& folder, const Hosts& hosts, Totals& totals);

  /// Runs one sequence in fresh sessions. Throws Differs.
  void run(World& world, const std::vector<std::uint64_t>& steps);
  [[nodiscard]] const std::vector<std::string>& story() const { return story_; }

 private:
  struct Line {
    std::unique_ptr<Channel> a, b;
  };
  void renew(const Exchange* last, const Outcome* a, const Outcome* b);
  Line& line(std::size_t index, Dice& dice);
  void step(World& world, std::uint64_t seed);
  void send(Line& to, std::string_view bytes);
  /// Sends, receives and compares.
  void exchange(World& world, Line& on, const Exchange& exchange);
  void compare(World& world, Line& on, const Exchange& exchange);
  void condemned(const Exchange& exchange, const Outcome& a, const Outcome& b);

  const Hosts& hosts_;
  Totals& totals_;
  Host a_;
  Host b_;
  std::array<Line, 2> lines_;
  std::vector<std::string> story_;
  bool over_ = false;
};

}  // namespace noninterference
