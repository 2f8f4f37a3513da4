#include "tests/bench/tasks.hpp"

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iostream>
#include <thread>
#include <vector>

#include "tests/bench/measures.hpp"

namespace airlock::bench {

namespace {

constexpr unsigned look_out_microseconds = 20'000;

StorePath parse(const std::string& text) {
  const auto path = StoreLayout::from_environment().parse(text);
  if (!path) throw std::runtime_error(path.error());
  return *path;
}

bool exists(const std::string& file) {
  return ::access(file.c_str(), F_OK) == 0;
}

}  // namespace

void fetch(const std::string& socket, const std::string& path, std::uint64_t bytes) {
  Client client(socket);
  client.start(wire::NarFromPath{parse(path)});
  client.finish();
  skip(client, bytes);
  // In step still: nothing was left over.
  if (!client.ask(wire::IsValidPath{parse(path)}).value)
    throw std::runtime_error("the path is not valid after it was read");
  std::cout << "fetched " << bytes << std::endl;
}

void send(const std::string& socket, const std::string& path, const std::string& nar_hash,
          std::uint64_t bytes, const std::string& seed) {
  Client client(socket);
  wire::AddToStoreNar request{parse(path), {}, false, false};
  request.info.nar_hash = nar_hash;
  request.info.nar_size = nar_size(bytes);
  request.info.content_address = "fixed:r:sha256:" + nar_hash;
  client.start(request);
  wire::FramedSink frames(client.writer);
  write_large_nar(frames, bytes, seed);
  frames.finish();
  client.finish();
  std::cout << "sent " << request.info.nar_size << std::endl;
}

void crowd(const std::string& socket, const std::string& path, const std::string& folder,
           std::size_t all, std::size_t first) {
  const wire::IsValidPath question{parse(path)};
  std::atomic<std::size_t> answered{0};
  std::atomic<std::size_t> served{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < all; ++i) {
    threads.emplace_back([&] {
      try {
        Client client(socket);
        if (!client.ask(question).value) return;
        if (++answered == first) std::ofstream(folder + "/full") << first;
        while (!exists(folder + "/release")) ::usleep(look_out_microseconds);
        if (client.ask(question).value) ++served;
      } catch (const std::exception& fault) {
        std::cerr << "one of the crowd: " << fault.what() << std::endl;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::cout << served << " of " << all << " were served" << std::endl;
  if (served != all) throw std::runtime_error("not all were served");
}

}  // namespace airlock::bench
