#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <thread>

#include "fusefs/boundary/channel.hpp"

namespace airlock::test {

/// Stands in for airlock-fs: answers messages on the announce socket of a run folder of its own, or
/// keeps silent.
class FakeFilesystem {
 public:
  using Answer = std::function<std::optional<boundary::Message>(const boundary::Received&)>;

  explicit FakeFilesystem(Answer answer) : answer_(std::move(answer)) {
    std::string name = "/tmp/airlock-fake-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    sockets_.run = folder_;
    std::filesystem::create_directories(sockets_.private_folder() + "/sessions");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = sockets_.announce();
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    listening_ = Fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    if (::bind(listening_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
            0 ||
        ::listen(listening_.get(), 8) != 0)
      throw std::runtime_error("cannot listen");
    thread_ = std::thread([this] { serve(); });
  }
  FakeFilesystem(const FakeFilesystem&) = delete;
  FakeFilesystem& operator=(const FakeFilesystem&) = delete;
  ~FakeFilesystem() {
    ::shutdown(listening_.get(), SHUT_RDWR);
    thread_.join();
    std::filesystem::remove_all(folder_);
  }

  [[nodiscard]] const boundary::SocketPaths& sockets() const { return sockets_; }

 private:
  void serve() {
    for (;;) {
      Fd peer{::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
      if (!peer) return;
      boundary::Channel channel(std::move(peer));
      while (auto received = channel.receive())
        if (const auto answer = answer_(*received)) (void)channel.send(*answer);
    }
  }

  Answer answer_;
  std::string folder_;
  boundary::SocketPaths sockets_;
  Fd listening_;
  std::thread thread_;
};

}  // namespace airlock::test
