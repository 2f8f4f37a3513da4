#include <poll.h>
#include <pthread.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <stdexcept>
#include <string_view>

#include "fusefs/announce.hpp"
#include "fusefs/caller.hpp"
#include "fusefs/contacts.hpp"
#include "fusefs/event_loop.hpp"
#include "fusefs/graft/grafter.hpp"
#include "fusefs/graft/helper.hpp"
#include "fusefs/kernel.hpp"
#include "fusefs/mediator_link.hpp"
#include "fusefs/options.hpp"
#include "fusefs/past_views.hpp"
#include "fusefs/privileges.hpp"
#include "fusefs/records.hpp"
#include "fusefs/run_folder.hpp"
#include "fusefs/sessions.hpp"
#include "fusefs/settle_program.hpp"
#include "fusefs/view/mount.hpp"
#include "fusefs/view/tree.hpp"

namespace {

using namespace airlock;
using namespace airlock::fusefs;

void start_logging(bool verbose) {
  auto logger = spdlog::stderr_logger_mt("airlock-fs");
  logger->set_pattern("%n: %l: %v");
  logger->set_level(verbose ? spdlog::level::debug : spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

/// SIGTERM and SIGINT as something to poll; blocked in every thread started after this.
Fd catch_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return Fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

/// A session holds half a dozen descriptors; the usual limit would end at some 150 builds.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Fd open_store(const std::string& store_dir) {
  Fd store(::open(store_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!store) throw std::runtime_error(failure("open the store at " + store_dir));
  return store;
}

/// 0 when there was none.
int taken_signal(int signals) {
  signalfd_siginfo taken{};
  if (::read(signals, &taken, sizeof taken) != sizeof taken) return 0;
  return static_cast<int>(taken.ssi_signo);
}

/// Returns the devices of the views before this one.
std::vector<std::uint64_t> remember_view(const PastViews& views, const Mount& mount) {
  constexpr std::ptrdiff_t most = 64;
  auto devices = views.load();
  // The kernel has given the number to this one, so the one that had it is gone.
  devices.erase(std::remove(devices.begin(), devices.end(), mount.device()), devices.end());
  if (std::ssize(devices) >= most) devices.erase(devices.begin(), devices.end() - most + 1);
  auto with_own = devices;
  with_own.push_back(mount.device());
  views.save(with_own);
  return devices;
}

/// Sees that the view has room, and that it is there: without its mount this process is of no use,
/// and whoever started it is to start it again.
void look_after(EventLoop& loop, Mount& mount, bool& lost) {
  constexpr std::chrono::seconds interval{1};
  loop.after(interval, [&loop, &mount, &lost] {
    mount.make_room();
    if (mount.is_mounted()) return look_after(loop, mount, lost);
    spdlog::error("the view was unmounted by somebody else");
    lost = true;
    loop.stop();
  });
}

int run(const Options& options) {
  const Fd signals = catch_signals();
  raise_descriptor_limit();
  const User user = find_user(options.user);
  const Fd store = open_store(options.store_dir);
  const GuestProgram guest(options.guest);
  const RunFolder folder(options.sockets, user);
  make_roots_folder(options.state_dir, user);
  const RecordFolder records(folder.records());
  const CallerCheck callers(options.use_peerpidfd);

  EventLoop loop;
  Fd for_hooks = folder.listen_for_hooks();
  Fd for_mediator = folder.bind_for_mediator();
  // The event loop is this thread, and it is the one that binds sockets through the mount.
  Tree tree(store.get(), guest, {options.store_dir, options.state_dir}, ::gettid(),
            options.most_nodes);
  // Before the first thread is there: capabilities are a thread's, and are inherited.
  keep_filesystem_capabilities();
  Contacts contacts(callers);
  Mount mount({tree, contacts, options.view}, options.sockets.mount_point());
  const auto view_target = options.state_dir.substr(0, options.state_dir.rfind('/'));
  // Its helper takes the mounts with it that are there when it starts.
  Grafter grafter(loop, {options.store_dir, options.sockets.mount_point(), view_target},
                  options.use_links);
  const auto dead_views = remember_view(PastViews(folder.past_views()), mount);

  SettleProgram settle_program(loop, options.settle_program);
  MediatorLink mediator(loop, std::move(for_mediator), user.uid);
  Sessions sessions({loop, tree, mount, callers, contacts, records, grafter, mediator,
                     settle_program, options.sockets.mount_point(), view_target, dead_views,
                     store.get()});
  mediator.set_handlers(
      {[&] { sessions.on_mediator_connected(); },
       [&](const boundary::Received& received) { sessions.on_mediator_message(received); },
       [&] { sessions.on_mediator_lost(); }});
  const AnnounceServer announce(loop, std::move(for_hooks), callers, sessions, mediator,
                                store.get());
  loop.watch(contacts.descriptor(), POLLIN, [&](short) {
    for (auto& contact : contacts.take()) sessions.on_first_contact(std::move(contact));
  });
  for (const auto& record : records.load()) sessions.take_over(record);
  sessions.put_back_var();
  // Only now: airlockd holds what a predecessor's sandboxes wait for until it can connect, and by
  // then those that were not adopted have to be dead.
  mediator.listen();
  auto leave = Sessions::ForSuccessor::yes;
  loop.watch(signals.get(), POLLIN, [&](short) {
    if (taken_signal(signals.get()) == SIGINT) leave = Sessions::ForSuccessor::no;
    loop.stop();
  });
  bool lost_mount = false;
  look_after(loop, mount, lost_mount);

  ::sd_notify(0, "READY=1");
  spdlog::info("serving {}", options.sockets.mount_point());
  loop.run();
  ::sd_notify(0, "STOPPING=1");
  sessions.shut_down(leave);
  spdlog::info("stopped");
  return lost_mount ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  // Hidden: how airlock-fs starts itself as the graft helper.
  const std::string_view command = argc == 5 ? argv[1] : "";
  if (command == graft_helper_command || command == copying_graft_helper_command) {
    start_logging(false);
    return run_graft_helper(Fd(graft_helper_channel), {argv[2], argv[3], argv[4]},
                            command == graft_helper_command);
  }
  const CommandLine line = parse_command_line(argc, argv);
  if (!line.run) return line.status;
  start_logging(line.options.verbose);
  try {
    return run(line.options);
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    return 1;
  }
}
