#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/client.hpp"

namespace airlock::bench {

/// What the shared folder of a run holds, read by both sides.
struct Material {
  std::vector<StorePath> paths;  ///< all valid, all visible to the sandbox
  StorePath large;               ///< one file of `bytes` bytes
  std::uint64_t bytes;
  std::string derivation;         ///< the text of one, with a place for a seed
  wire::StorePathSet references;  ///< of that
  struct Upload {
    std::string seed;  ///< tells this content from every other
    std::string hash;  ///< of the archive, base 16
    StorePath path;
  };
  std::vector<Upload> uploads;  ///< of this side, for one use each

  [[nodiscard]] static Material read(const std::string& folder, const std::string& side);
};

/// One side of the comparison. Not thread-safe.
class Bench {
 public:
  Bench(std::string socket, std::string side, Material material)
      : socket_(std::move(socket)), side_(std::move(side)), material_(std::move(material)) {}
  /// The seconds that each repetition took; throws.
  [[nodiscard]] std::vector<double> run(std::string_view measure);

 private:
  friend struct Measures;
  [[nodiscard]] Client& line() { return *line_; }  ///< one connection, open for a whole round
  [[nodiscard]] const StorePath& next_path();
  [[nodiscard]] std::string fresh_derivation();

  std::string socket_;
  std::string side_;
  Material material_;
  std::unique_ptr<Client> line_;
  std::size_t next_path_ = 0;
  std::size_t next_upload_ = 0;
  std::size_t next_derivation_ = 0;
};

/// Writes the archive of a file of so many bytes, whose content the seed determines.
void write_large_nar(Sink& sink, std::uint64_t bytes, const std::string& seed);

/// The size of that archive.
[[nodiscard]] std::uint64_t nar_size(std::uint64_t bytes);
/// Reads so many bytes and drops them.
void skip(Client& client, std::uint64_t bytes);

/// What is measured: the words of the table's row, the aim for the ratio (0: none), and how often
/// each side is asked in turn.
struct Row {
  std::string_view measure;
  std::string_view title;
  double aim;
  int rounds;
  bool spreads = false;  ///< keeps several processes busy at once
};
[[nodiscard]] const std::vector<Row>& rows();

}  // namespace airlock::bench
