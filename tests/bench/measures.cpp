#include "tests/bench/measures.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <barrier>
#include <chrono>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace airlock::bench {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t crowd_size = 200;

template <class Action>
double seconds(const Action& action) {
  const auto begin = Clock::now();
  action();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <class Action>
std::vector<double> repeat(int times, const Action& action) {
  std::vector<double> samples;
  for (int i = 0; i < times; ++i) samples.push_back(action());
  return samples;
}

void expect(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

StorePath parse(const std::string& text) {
  const auto path = StoreLayout::from_environment().parse(text);
  if (!path) throw std::runtime_error(path.error());
  return *path;
}

}  // namespace

Material Material::read(const std::string& folder, const std::string& side) {
  std::string line;
  std::vector<StorePath> paths;
  for (std::ifstream file(folder + "/paths"); std::getline(file, line);)
    paths.push_back(parse(line));
  std::string large;
  std::uint64_t bytes = 0;
  std::ifstream(folder + "/large") >> large >> bytes;
  std::ostringstream derivation;
  derivation << std::ifstream(folder + "/derivation").rdbuf();
  std::ifstream input(folder + "/derivation-input");
  std::getline(input, line);
  Material material{std::move(paths), parse(large), bytes, derivation.str(), {parse(line)}, {}};
  std::string seed, hash, path;
  for (std::ifstream file(folder + "/uploads-" + side); file >> seed >> hash >> path;)
    material.uploads.push_back({seed, hash, parse(path)});
  return material;
}

const StorePath& Bench::next_path() {
  return material_.paths.at(next_path_++ % material_.paths.size());
}

std::string Bench::fresh_derivation() {
  static constexpr std::string_view place = "@SEED@";
  auto text = material_.derivation;
  const auto at = text.find(place);
  expect(at != std::string::npos, "the template of derivations has no place for a seed");
  return text.replace(at, place.size(), side_ + "-" + std::to_string(next_derivation_++));
}

void write_large_nar(Sink& sink, std::uint64_t bytes, const std::string& seed) {
  const StoreLayout layout;
  wire::Writer writer(sink, layout);
  for (const auto* word : {"nix-archive-1", "(", "type", "regular", "contents"})
    writer.string(word);
  writer.u64(bytes);
  std::string block = seed;
  std::uint32_t state = 1;
  while (block.size() < 1 << 20) {
    state = state * 1664525 + 1013904223;
    block += static_cast<char>(state >> 24);
  }
  for (auto left = bytes; left > 0;) {
    const auto piece = std::min<std::uint64_t>(left, block.size());
    writer.raw(std::string_view(block).substr(0, static_cast<std::size_t>(piece)));
    left -= piece;
  }
  expect(bytes % 8 == 0, "the size is not a multiple of 8");
  writer.string(")");
}

void skip(Client& client, std::uint64_t bytes) {
  std::vector<char> buffer(64 * 1024);
  while (bytes > 0) {
    const auto piece = std::min<std::uint64_t>(bytes, buffer.size());
    client.reader.raw({buffer.data(), static_cast<std::size_t>(piece)});
    bytes -= piece;
  }
}

std::uint64_t nar_size(std::uint64_t bytes) {
  class Counter final : public Sink {
   public:
    void write(std::string_view text) override { size += text.size(); }
    std::uint64_t size = 0;
  } counter;
  write_large_nar(counter, 0, {});
  return counter.size + bytes;
}

struct Measures {
  static std::vector<double> floor(Bench&) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
      throw std::runtime_error("cannot make a pair of sockets");
    const Fd ours(ends[0]);
    Fd theirs(ends[1]);
    std::array<char, 64> message{};
    std::thread echo([&] {
      std::array<char, 64> copy{};
      while (::read(theirs.get(), copy.data(), copy.size()) > 0)
        if (::write(theirs.get(), copy.data(), copy.size()) < 0) return;
    });
    auto samples = repeat(200, [&] {
      return seconds([&] {
        const auto sent = ::write(ours.get(), message.data(), message.size());
        expect(sent > 0 && ::read(ours.get(), message.data(), message.size()) == sent,
               "the echo is gone");
      });
    });
    ::shutdown(ours.get(), SHUT_RDWR);
    echo.join();
    return samples;
  }

  static std::vector<double> connect(Bench& bench) {
    return repeat(10, [&] {
      const auto& path = bench.next_path();
      std::unique_ptr<Client> client;
      const auto took = seconds([&] {
        client = std::make_unique<Client>(bench.socket_);
        expect(client->ask(wire::IsValidPath{path}).value, "the path is not valid");
      });
      return took;  // without the end of the connection
    });
  }

  static std::vector<double> is_valid_path(Bench& bench) {
    return repeat(200, [&] {
      const wire::IsValidPath question{bench.next_path()};
      return seconds([&] { expect(bench.line().ask(question).value, "the path is not valid"); });
    });
  }

  static std::vector<double> path_info(Bench& bench) {
    return repeat(200, [&] {
      const wire::QueryPathInfo question{bench.next_path()};
      return seconds(
          [&] { expect(bench.line().ask(question).info.has_value(), "the path has no info"); });
    });
  }

  static std::vector<double> path_info_again(Bench& bench) {
    const wire::QueryPathInfo question{bench.material_.paths.front()};
    (void)bench.line().ask(question);
    return repeat(200, [&] { return seconds([&] { (void)bench.line().ask(question); }); });
  }

  static std::vector<double> valid_paths(Bench& bench) {
    const wire::QueryValidPaths question{
        {bench.material_.paths.begin(), bench.material_.paths.end()}, false};
    return repeat(2, [&] {
      return seconds([&] {
        expect(bench.line().ask(question).paths == question.paths, "not all paths are valid");
      });
    });
  }

  static std::vector<double> absent_paths(Bench& bench) {
    // As many that nobody has.
    wire::QueryValidPaths question;
    for (const auto& path : bench.material_.paths) {
      const auto name = std::string(path.hash_part()) + "-absent";
      question.paths.insert(*StorePath::parse(name));
    }
    return repeat(2, [&] {
      return seconds(
          [&] { expect(bench.line().ask(question).paths.empty(), "what is absent is valid"); });
    });
  }

  static std::vector<double> add_derivation(Bench& bench) {
    return repeat(5, [&] {
      auto& client = bench.line();
      const auto text = bench.fresh_derivation();
      const wire::AddToStore request{"template.drv", "text:sha256", bench.material_.references,
                                     false};
      std::string added;
      const auto took = seconds([&] {
        client.start(request);
        wire::FramedSink frames(client.writer);
        frames.write(text);
        frames.finish();
        client.finish();
        added =
            client.layout().print(wire::AddedPath::decode(client.reader, client.version()).path);
      });
      expect(::access(added.c_str(), R_OK) == 0, added + " is not there");
      return took;
    });
  }

  static std::vector<double> upload(Bench& bench) {
    return send_large(bench, [](Client& client, const Material::Upload&) {
      client.start(wire::AddToStore{"large", "fixed:r:sha256", {}, false});
    });
  }

  static std::vector<double> upload_nar(Bench& bench) {
    return send_large(bench, [&](Client& client, const Material::Upload& upload) {
      wire::AddToStoreNar request{upload.path, {}, false, false};
      request.info.nar_hash = upload.hash;
      request.info.nar_size = nar_size(bench.material_.bytes);
      request.info.content_address = "fixed:r:sha256:" + upload.hash;
      client.start(request);
    });
  }

  static std::vector<double> download(Bench& bench) {
    const wire::NarFromPath request{bench.material_.large};
    return repeat(1, [&] {
      auto& client = bench.line();
      return seconds([&] {
        client.start(request);
        client.finish();
        skip(client, nar_size(bench.material_.bytes));
      });
    });
  }

  static std::vector<double> crowd(Bench& bench) {
    return repeat(1, [&] {
      std::barrier begin(crowd_size + 1);
      std::vector<std::string> faults(crowd_size);
      std::vector<std::thread> threads;
      for (std::size_t i = 0; i < crowd_size; ++i) {
        threads.emplace_back([&, i, path = bench.next_path()] {
          begin.arrive_and_wait();
          try {
            expect(Client(bench.socket_).ask(wire::IsValidPath{path}).value, "it is not valid");
          } catch (const std::exception& fault) {
            faults[i] = fault.what();
          }
        });
      }
      const auto took = seconds([&] {
        begin.arrive_and_wait();
        for (auto& thread : threads) thread.join();
      });
      for (const auto& fault : faults) expect(fault.empty(), "one of the crowd: " + fault);
      return took;
    });
  }

 private:
  template <class Start>
  static std::vector<double> send_large(Bench& bench, const Start& start) {
    const auto& upload = bench.material_.uploads.at(bench.next_upload_++);
    // Of its own: what a connection has added is held while the connection lasts.
    auto client = std::make_unique<Client>(bench.socket_);
    const auto took = seconds([&] {
      start(*client, upload);
      wire::FramedSink frames(client->writer);
      write_large_nar(frames, bench.material_.bytes, upload.seed);
      frames.finish();
      client->finish();
    });
    client.reset();
    if (bench.side_ == "direct") make_room(bench, upload.path);
    return {took};
  }

  /// The store may lie in memory. What was added through airlock is held until the build ends.
  static void make_room(Bench& bench, const StorePath& path) {
    constexpr std::uint64_t delete_specific = 3;
    constexpr auto no_limit = std::numeric_limits<std::uint64_t>::max();
    Client client(bench.socket_);
    (void)client.ask(wire::CollectGarbage{delete_specific, {path}, false, no_limit});
  }
};

namespace {

using Measure = std::vector<double> (*)(Bench&);
struct Entry {
  Row row;
  Measure measure;
};

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all{
      {{"connect", "connect + handshake + IsValidPath", 0.1, 30, true}, Measures::connect},
      {{"floor", "64 bytes to a thread and back: the kernel's part", 0, 40}, Measures::floor},
      {{"is-valid-path", "IsValidPath, connected", 0.5, 40}, Measures::is_valid_path},
      {{"path-info", "QueryPathInfo, each of another path", 0.5, 40}, Measures::path_info},
      {{"path-info-again", "QueryPathInfo, of one path", 0, 40}, Measures::path_info_again},
      {{"valid-paths", "QueryValidPaths, 10,000 valid", 0.5, 10}, Measures::valid_paths},
      {{"absent-paths", "QueryValidPaths, 10,000 absent", 0.5, 10}, Measures::absent_paths},
      {{"add-derivation", "add a small derivation (with its graft)", 1.3, 30},
       Measures::add_derivation},
      {{"crowd", "200 connections at once, each as the first row", 0, 10, true}, Measures::crowd},
      {{"download", "NarFromPath", 1.1, 5, true}, Measures::download},
      {{"upload", "AddToStore", 1.1, 3, true}, Measures::upload},
      {{"upload-nar", "AddToStoreNar", 1.1, 3, true}, Measures::upload_nar},
  };
  return all;
}

}  // namespace

const std::vector<Row>& rows() {
  static const auto all = [] {
    std::vector<Row> list;
    for (const auto& entry : entries()) list.push_back(entry.row);
    return list;
  }();
  return all;
}

std::vector<double> Bench::run(std::string_view measure) {
  // Where the scheduler puts the two ends of a connection can double what a question takes, and
  // stays so while the connection lasts: so each round has its own.
  line_ = std::make_unique<Client>(socket_);
  for (const auto& entry : entries())
    if (entry.row.measure == measure) return entry.measure(*this);
  throw std::runtime_error("there is no measure " + std::string(measure));
}

}  // namespace airlock::bench
