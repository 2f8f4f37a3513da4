#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "fusefs/boundary/fd.hpp"
#include "fusefs/boundary/store_path.hpp"
#include "fusefs/caller.hpp"
#include "fusefs/kernel.hpp"

namespace airlock::fusefs {

/// Static mode: tells apart who asks at `var`, the one folder that all sandboxes have.
///
/// A sandbox is known by its outermost pid namespace, whose descriptor is held: the numbers of
/// namespaces are used again. What it is given is decided once, at its first contact, by the event
/// loop; until then whoever asks from it waits, and nobody else does. Callers are looked up by a
/// thread of this object's, which has the privilege for that, in turn for each user: build users
/// differ, so a sandbox that floods delays its own questions.
///
/// Thread-safe. An answer is called once, from any thread, and must not call back.
class Contacts {
 public:
  /// The session whose view the caller is to see; nothing: an empty folder.
  using Answer = std::function<void(const std::optional<StorePath>& derivation)>;
  /// While the kernel waits for the answer about a name it lets nobody else look for that name in
  /// the same folder. So such a question is answered when the sandbox's build is known but its
  /// session is not open yet (offer), and it is the next question, below the name, that waits. A
  /// listing is in the way of whoever would change something in the folder, and of those behind
  /// him: it is answered at the next offer, and asks again. An answer that is the same for everyone
  /// may come late, so that the next question finds it decided, but is not worth a decision.
  enum class Patience { until_decided, until_offered, until_next_offer, while_others_wait };

  /// A sandbox that has not asked before.
  struct FirstContact {
    FileIdentity sandbox;
    Fd pid_namespace;
    pid_t thread;  ///< that waits for the answer
  };

  explicit Contacts(const CallerCheck& callers);
  ~Contacts();
  Contacts(const Contacts&) = delete;
  Contacts& operator=(const Contacts&) = delete;

  /// From the FUSE threads: never waits. The thread is in the kernel until it has the answer.
  void ask(pid_t thread, uid_t user, Patience patience, Answer answer);

  // From the event loop.

  /// Readable when there are first contacts to take.
  [[nodiscard]] int descriptor() const { return wake_.get(); }
  [[nodiscard]] std::vector<FirstContact> take();
  /// Whoever is not patient is told the session that the sandbox will have, if it is to have one.
  /// False when there is nothing to offer any more: it is decided, or forgotten.
  bool offer(FileIdentity sandbox, const StorePath& derivation);
  /// Decides a sandbox's first contact, for as long as it is not forgotten.
  void decide(FileIdentity sandbox, const std::optional<StorePath>& derivation);
  /// Whoever waits finds an empty folder; the next who asks is a first contact again.
  void forget(FileIdentity sandbox);
  enum class Else { answer, forget };
  /// Whether somebody waits for what only a decision can tell. If not, whoever waits is answered,
  /// and so is at once who comes after and waits for others only; or the sandbox is forgotten.
  bool is_needed(FileIdentity sandbox, Else otherwise);
  /// From now on everybody is answered at once, also those that wait; what is said to them is no
  /// answer to go by (stopped).
  void stop();
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  struct Question {
    pid_t thread;
    Patience patience;
    Answer answer;

    [[nodiscard]] bool is_patient() const {
      return patience == Patience::until_decided || patience == Patience::while_others_wait;
    }
  };
  struct Sandbox {
    Fd pid_namespace;
    bool decided = false;
    bool overdue = false;
    std::optional<StorePath> derivation;  ///< decided, or offered
    std::vector<Question> waiting;
  };

  void run();
  [[nodiscard]] std::optional<Question> next();
  void resolve(Question question);

  const CallerCheck& callers_;
  Fd wake_;
  std::mutex mutex_;  ///< guards what is below
  std::condition_variable asked_;
  std::atomic<bool> stopped_{false};
  std::map<uid_t, std::deque<Question>> questions_;
  uid_t last_served_ = 0;
  std::map<FileIdentity, Sandbox> sandboxes_;
  std::vector<FirstContact> first_contacts_;
  std::thread thread_;
};

}  // namespace airlock::fusefs
