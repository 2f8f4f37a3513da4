#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/content_address.hpp"
#include "daemon/wire/results.hpp"
#include "tests/noninterference/channel.hpp"
#include "tests/noninterference/inner.hpp"

namespace noninterference {

/// What one step of a sequence chooses by: all of it follows from one number.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T>
  const T& of(const std::vector<T>& choices) {
    return choices.at(below(choices.size()));
  }
  std::uint64_t number() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

/// What the hosts said about themselves when they were set up.
struct Hosts {
  Materials materials;
  std::vector<airlock::StorePath> visible;  ///< the closure of the roots
  std::vector<airlock::StorePath> hidden;   ///< on A only, on B only, on both
};
[[nodiscard]] Hosts read_hosts(const std::string& folder);

/// Content that the client adds, and that either host may have.
struct Content {
  std::string name;
  std::string text;
  std::string archive;
  airlock::IngestionMethod method{};
  airlock::StorePath path;
  airlock::ContentAddress address;
};

enum class Place { neither, only_a, only_b, both };

/// All that one sequence knows: what it may name and what it has made visible.
class World {
 public:
  World(const Hosts& known, const std::string& nonce, std::uint64_t seed);

  /// Brings a host into the state that this world says: outputs that are there, by whatever way
  /// they came, derivations, files.
  void prepare(Channel& host, bool is_a) const;

  [[nodiscard]] airlock::StorePath any_path(Dice& dice) const;
  [[nodiscard]] airlock::StorePath seen_path(Dice& dice) const;
  [[nodiscard]] airlock::StorePath unseen_path(Dice& dice) const;
  [[nodiscard]] std::set<airlock::StorePath> some_paths(Dice& dice) const;
  [[nodiscard]] bool is_seen(const airlock::StorePath& path) const { return seen.contains(path); }
  [[nodiscard]] const Inner* inner_of(const airlock::StorePath& path) const;
  /// One that was added, mostly, and that does not sleep; null when there is none.
  [[nodiscard]] const Inner* to_build(Dice& dice) const;
  /// One to add next, mostly one that was not.
  [[nodiscard]] const Inner& to_add(Dice& dice) const;
  [[nodiscard]] const Inner* sleeper() const;
  /// Where its outputs were before the sequence began.
  [[nodiscard]] Place place_of(const Inner& inner) const;

  const Hosts& hosts;
  std::vector<std::unique_ptr<Inner>> inners;
  std::vector<Content> contents;
  std::set<airlock::StorePath> seen;  ///< that a reply has named or made visible
  /// Of the last build: each target and how it ended.
  std::vector<std::pair<const Inner*, airlock::wire::BuildStatus>> results;

 private:
  [[nodiscard]] bool may_be_there(const Inner& inner) const;
  void import(Channel& host, const Inner& inner, Dice& dice) const;
  std::vector<Place> inner_places_;
  std::vector<Place> content_places_;
  std::uint64_t seed_;
};

[[nodiscard]] std::string archive_of(const std::string& content);

}  // namespace noninterference
