#include "fusefs/graft/grafter.hpp"

#include <poll.h>
#include <spawn.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "fusefs/graft/graft.hpp"
#include "fusefs/graft/helper.hpp"

namespace airlock::fusefs {

using boundary::Message;
using boundary::MessageType;

Grafter::Grafter(EventLoop& loop, GraftSources sources, bool may_link)
    : loop_(loop), sources_(std::move(sources)), may_link_(may_link) {
  start_helper();
}

Grafter::~Grafter() {
  stop_helper();
}

void Grafter::graft(const StorePath& path, const StorePath& derivation, FileIdentity chroot,
                    std::shared_ptr<const Fd> first_process, Done done) {
  // Most grafts are of files, and are not worth another process's time.
  if (may_link_ && store_) {
    const int target = store_of_sandbox(derivation, chroot);
    const auto linked = target < 0 ? tl::unexpected(std::string(sandbox_gone))
                                   : link_file(store_.get(), target, path);
    if (!linked) return done(tl::unexpected(Error{Failure::refused, linked.error()}));
    if (*linked) return done({});
  }
  add_job(
      MessageType::grant,
      {path.base(), derivation.base(), std::to_string(chroot.device), std::to_string(chroot.inode)},
      std::move(first_process), std::move(done));
}

int Grafter::store_of_sandbox(const StorePath& derivation, FileIdentity chroot) {
  if (!target_ || target_->derivation != derivation || target_->chroot != chroot) {
    target_.reset();
    Fd store = open_store_of_sandbox(store_.get(), sources_.store_dir, derivation, chroot);
    if (!store) return -1;
    target_ = {derivation, chroot, std::move(store)};
  }
  return target_->store.get();
}

void Grafter::forget(const StorePath& derivation) {
  if (target_ && target_->derivation == derivation) target_.reset();
}

void Grafter::put_back(const std::string& folder, const std::vector<std::uint64_t>& dead,
                       std::shared_ptr<const Fd> first_process, Done done) {
  std::vector<std::string> strings{folder};
  for (const auto device : dead) strings.push_back(std::to_string(device));
  add_job(MessageType::session_resumed, std::move(strings), std::move(first_process),
          std::move(done));
}

void Grafter::add_job(MessageType type, std::vector<std::string> strings,
                      std::shared_ptr<const Fd> first_process, Done done) {
  jobs_.push_back(
      {type, next_request_++, std::move(strings), std::move(first_process), std::move(done)});
  if (!channel_) start_helper();
  send_next();
}

void Grafter::start_helper() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    spdlog::error("{}", failure("make a socket for the graft helper"));
    return;
  }
  Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), graft_helper_channel);
  // Signals are blocked here for the sake of the event loop; the helper wants none of that.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const char* command = may_link_ ? graft_helper_command : copying_graft_helper_command;
  std::array<char*, 6> arguments{const_cast<char*>("airlock-fs"), const_cast<char*>(command),
                                 sources_.store_dir.data(),       sources_.view.data(),
                                 sources_.view_target.data(),     nullptr};
  const int error =
      ::posix_spawn(&helper_, "/proc/self/exe", &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    helper_ = 0;
    spdlog::error("cannot start the graft helper: {}", std::strerror(error));
    return;
  }
  channel_.emplace(std::move(ours));
  ready_ = false;
  loop_.watch(channel_->fd(), POLLIN, [this](short) { on_readable(); });
  timer_ = loop_.after(deadline, [this] { on_deadline(); });
}

void Grafter::stop_helper() {
  if (channel_) loop_.forget(channel_->fd());
  channel_.reset();
  if (timer_) loop_.cancel(*timer_);
  timer_.reset();
  if (helper_ > 0) {
    // It may be inside a filesystem of a sandbox's own; SIGKILL gets it out of that.
    ::kill(helper_, SIGKILL);
    while (::waitpid(helper_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  helper_ = 0;
  ready_ = false;
}

void Grafter::send_next() {
  if (!jobs_.empty() && !channel_) {
    finish(tl::unexpected(Error{Failure::refused, "the graft helper could not be started"}));
    return;
  }
  while (ready_ && sent_ < jobs_.size() && sent_ < most_sent) {
    if (!timer_) timer_ = loop_.after(deadline, [this] { on_deadline(); });
    const Job& job = jobs_[sent_++];
    if (!channel_->send({job.type, 0, job.request, job.strings}, job.first_process->get())) {
      lose_helper(Failure::refused, "the graft helper is gone");
      return;
    }
  }
}

void Grafter::on_readable() {
  auto received = channel_->receive();
  if (!received) {
    lose_helper(Failure::refused, "the graft helper is gone");
    return;
  }
  if (timer_) loop_.cancel(*timer_);
  timer_.reset();
  const Message& message = received->message;
  if (!ready_) {
    ready_ = message.type == MessageType::done;
    target_.reset();
    if (received->descriptor) store_ = std::move(received->descriptor);
    send_next();
    return;
  }
  if (sent_ == 0 || message.request != jobs_.front().request) return;
  // The next one's time begins now.
  if (--sent_ > 0) timer_ = loop_.after(deadline, [this] { on_deadline(); });
  if (message.type == MessageType::succeeded) {
    finish({});
  } else {
    const auto sentence = message.strings.empty() ? "no reason was given" : message.strings[0];
    finish(tl::unexpected(Error{Failure::refused, sentence}));
  }
}

void Grafter::on_deadline() {
  timer_.reset();
  lose_helper(Failure::too_slow, "the graft was not made in time");
}

void Grafter::lose_helper(Failure kind, const std::string& sentence) {
  spdlog::warn("{}: the graft helper is replaced", sentence);
  // One that never got ready is replaced when the next graft is asked for, or this could go round
  // and round; and that is nobody's fault but the machine's.
  const bool was_ready = ready_;
  stop_helper();
  if (was_ready) start_helper();
  // What was sent after the first is sent again: a graft that is there is no fault.
  const bool was_working = std::exchange(sent_, 0) > 0;
  if (!jobs_.empty()) {
    finish(tl::unexpected(Error{was_working ? kind : Failure::refused, sentence}));
  }
}

void Grafter::finish(tl::expected<void, Error> result) {
  const Job job = std::move(jobs_.front());
  jobs_.pop_front();
  job.done(std::move(result));
  send_next();
}

}  // namespace airlock::fusefs
