#include "fusefs/contacts.hpp"

#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "fusefs/privileges.hpp"

namespace airlock::fusefs {

Contacts::Contacts(const CallerCheck& callers)
    : callers_(callers), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_) throw std::runtime_error(failure("make an event descriptor"));
  thread_ = std::thread([this] { run(); });
}

Contacts::~Contacts() {
  stop();
  thread_.join();
}

void Contacts::ask(pid_t thread, uid_t user, Patience patience, Answer answer) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopped_) {
      questions_[user].push_back({thread, patience, std::move(answer)});
      asked_.notify_one();
      return;
    }
  }
  answer(std::nullopt);
}

std::vector<Contacts::FirstContact> Contacts::take() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto size = ::read(wake_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  return std::exchange(first_contacts_, {});
}

bool Contacts::offer(FileIdentity sandbox, const StorePath& derivation) {
  std::vector<Question> hasty;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sandboxes_.find(sandbox);
    if (found == sandboxes_.end() || found->second.decided) return false;
    found->second.derivation = derivation;
    auto& waiting = found->second.waiting;
    const auto first_hasty =
        std::partition(waiting.begin(), waiting.end(),
                       [](const Question& question) { return question.is_patient(); });
    std::move(first_hasty, waiting.end(), std::back_inserter(hasty));
    waiting.erase(first_hasty, waiting.end());
  }
  for (const auto& question : hasty) question.answer(derivation);
  return true;
}

void Contacts::decide(FileIdentity sandbox, const std::optional<StorePath>& derivation) {
  std::vector<Question> waiting;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sandboxes_.find(sandbox);
    if (found == sandboxes_.end()) return;
    found->second.decided = true;
    found->second.derivation = derivation;
    waiting = std::exchange(found->second.waiting, {});
  }
  for (const auto& question : waiting) question.answer(derivation);
}

void Contacts::forget(FileIdentity sandbox) {
  std::vector<Question> waiting;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sandboxes_.find(sandbox);
    if (found == sandboxes_.end()) return;
    waiting = std::move(found->second.waiting);
    sandboxes_.erase(found);
  }
  for (const auto& question : waiting) question.answer(std::nullopt);
}

bool Contacts::is_needed(FileIdentity sandbox, Else otherwise) {
  std::vector<Question> waiting;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sandboxes_.find(sandbox);
    if (found == sandboxes_.end()) return false;
    auto& asked = found->second.waiting;
    const bool needed = std::any_of(asked.begin(), asked.end(), [](const Question& question) {
      return question.patience != Patience::while_others_wait;
    });
    if (needed) return true;
    found->second.overdue = true;
    waiting = std::exchange(asked, {});
    if (otherwise == Else::forget) sandboxes_.erase(found);
  }
  for (const auto& question : waiting) question.answer(std::nullopt);
  return false;
}

void Contacts::stop() {
  std::vector<Question> waiting;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (auto& [user, questions] : questions_) {
      std::move(questions.begin(), questions.end(), std::back_inserter(waiting));
    }
    questions_.clear();
    for (auto& [identity, sandbox] : sandboxes_) {
      std::move(sandbox.waiting.begin(), sandbox.waiting.end(), std::back_inserter(waiting));
    }
    sandboxes_.clear();
    asked_.notify_one();
  }
  for (const auto& question : waiting) question.answer(std::nullopt);
}

void Contacts::run() {
  keep_contact_capabilities();
  while (auto question = next()) resolve(std::move(*question));
}

std::optional<Contacts::Question> Contacts::next() {
  std::unique_lock lock(mutex_);
  asked_.wait(lock, [this] { return stopped_ || !questions_.empty(); });
  if (stopped_) return std::nullopt;
  auto turn = questions_.upper_bound(last_served_);
  if (turn == questions_.end()) turn = questions_.begin();
  last_served_ = turn->first;
  auto question = std::move(turn->second.front());
  turn->second.pop_front();
  if (turn->second.empty()) questions_.erase(turn);
  return question;
}

void Contacts::resolve(Question question) {
  auto pid_namespace = callers_.outermost_namespace_of_waiting(question.thread);
  const auto identity = pid_namespace ? identity_of(pid_namespace->get()) : std::nullopt;
  std::optional<StorePath> derivation;
  if (identity) {
    const std::lock_guard lock(mutex_);
    auto [entry, fresh] = sandboxes_.try_emplace(*identity);
    Sandbox& sandbox = entry->second;
    if (fresh) {
      sandbox.pid_namespace = Fd(::fcntl(pid_namespace->get(), F_DUPFD_CLOEXEC, 0));
      first_contacts_.push_back({*identity, std::move(*pid_namespace), question.thread});
      constexpr std::uint64_t one = 1;
      [[maybe_unused]] const auto size = ::write(wake_.get(), &one, sizeof one);
    }
    const bool offered = sandbox.derivation && question.patience == Patience::until_offered;
    const bool overdue = sandbox.overdue && question.patience == Patience::while_others_wait;
    if (!sandbox.decided && !offered && !overdue && !stopped_) {
      sandbox.waiting.push_back(std::move(question));
      return;
    }
    derivation = sandbox.derivation;
  }
  question.answer(derivation);
}

}  // namespace airlock::fusefs
