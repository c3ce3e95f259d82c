#include "harness/jobs/ready_checks.h"

#include <algorithm>
#include <utility>

#include "harness/base/temporary_folder.h"
#include "harness/jobs/ready_trainer.h"
#include "harness/jobs/run_now.h"

namespace bitloop::jobs {
namespace {

constexpr std::chrono::seconds kLook{1};  // between two looks at those that wait

}  // namespace

ReadyChecks::ReadyChecks(Options options, MakeJob make_job)
    : options_(std::move(options)), make_job_(std::move(make_job)) {}

ReadyChecks::~ReadyChecks() { stop(); }

void ReadyChecks::note(std::string_view name) {
  const auto found = std::ranges::find(wanted_, name, &Wanted::name);
  if (found != wanted_.end())
    wanted_.splice(wanted_.begin(), wanted_, found);
  else
    wanted_.push_front({std::string(name), {}, {}, nullptr});
  wanted_.front().last = Clock::now();
  for (; wanted_.size() > options_.most; wanted_.pop_back())
    unwanted_.push_back(std::move(wanted_.back().trainer));
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  // An edit, of which there are many, finds all as it should be.
  if (!wanted_.front().trainer) changed_.notify_all();
}

void ReadyChecks::want(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (options_.most > 0 && !stopping_) note(name);
}

bool ReadyChecks::is_ready(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(wanted_, name, &Wanted::name);
  return found != wanted_.end() && found->trainer != nullptr;
}

std::unique_ptr<ReadyTrainer> ReadyChecks::take(const std::string& name,
                                                const std::string& identity) {
  const auto found = std::ranges::find(wanted_, name, &Wanted::name);
  if (found == wanted_.end() || !found->trainer) return nullptr;
  if (identity.empty() || found->trainer->identity() != identity) {
    unwanted_.push_back(std::move(found->trainer));
    return nullptr;
  }
  return std::move(found->trainer);
}

Verdict ReadyChecks::run_cold(const nlohmann::json& job, int timeout_ms) const {
  const auto folder = TemporaryFolder::make(options_.folder, options_.prefix);
  return folder ? run_now(folder->path(), job, timeout_ms)
                : infrastructure_verdict(folder.error().message);
}

Verdict ReadyChecks::run(const std::string& name, const nlohmann::json& job, int timeout_ms) {
  const std::string identity = options_.most > 0 ? trainer_identity(job) : "";
  std::unique_ptr<ReadyTrainer> trainer;
  {
    const std::lock_guard lock(mutex_);
    ++running_;
    trainer = take(name, identity);
  }
  std::optional<Verdict> verdict;
  if (trainer) verdict = trainer->check(job.at("candidate"), timeout_ms);
  if (!verdict) verdict = run_cold(job, timeout_ms);
  const std::lock_guard lock(mutex_);
  --running_;
  if (options_.most > 0 && !stopping_) {
    if (trainer) unwanted_.push_back(std::move(trainer));  // the thread removes its folder
    note(name);
  }
  changed_.notify_all();
  return *verdict;
}

void ReadyChecks::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  wanted_.clear();
  unwanted_.clear();
}

ReadyChecks::Trainers ReadyChecks::expired() {
  Trainers ends = std::exchange(unwanted_, {});
  const auto now = Clock::now();
  for (auto entry = wanted_.begin(); entry != wanted_.end();) {
    if (entry->trainer && entry->trainer->ended()) {
      ends.push_back(std::move(entry->trainer));
      entry->not_before = now + options_.pause;
    }
    if (now - entry->last < options_.idle) {
      ++entry;
      continue;
    }
    ends.push_back(std::move(entry->trainer));
    entry = wanted_.erase(entry);
  }
  return ends;
}

ReadyChecks::Wanted* ReadyChecks::missing() {
  if (running_ > 0) return nullptr;
  const auto now = Clock::now();
  for (Wanted& entry : wanted_)
    if (!entry.trainer && entry.not_before <= now) return &entry;
  return nullptr;
}

void ReadyChecks::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    Trainers ends = expired();
    if (!ends.empty()) {
      lock.unlock();
      ends.clear();
      lock.lock();
      continue;
    }
    if (Wanted* entry = missing()) {
      const std::string name = entry->name;
      // Until the next look: no second one, and no hurry after an error.
      entry->not_before = Clock::now() + options_.pause;
      lock.unlock();
      std::unique_ptr<ReadyTrainer> started;
      if (const auto job = make_job_(name))
        if (auto trainer = ReadyTrainer::start(options_.folder, options_.prefix, *job))
          started = std::move(*trainer);
      lock.lock();
      const auto found = std::ranges::find(wanted_, name, &Wanted::name);
      if (found == wanted_.end() || !started) {
        if (started) unwanted_.push_back(std::move(started));
        continue;
      }
      found->trainer = std::move(started);
      found->not_before = {};
      continue;
    }
    if (wanted_.empty())
      changed_.wait(lock);
    else
      changed_.wait_for(lock, std::min<std::chrono::milliseconds>(kLook, options_.idle));
  }
}

}  // namespace bitloop::jobs
