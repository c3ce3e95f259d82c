#include "harness/jobs/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <sstream>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/base/text.h"
#include "harness/jobs/cancelled.h"
#include "harness/jobs/event_stream.h"
#include "harness/jobs/initial_files.h"
#include "harness/jobs/job.h"
#include "harness/jobs/outcome.h"
#include "harness/jobs/output_tail.h"
#include "harness/jobs/rank_links.h"
#include "harness/jobs/run_device.h"
#include "harness/jobs/run_files.h"
#include "harness/jobs/trainer_process.h"
#include "sandbox/jail.h"

namespace bitloop::jobs {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr size_t kOutputTailBytes = 64 << 10;
constexpr const char* kWeightsFile = "weights.safetensors";
// A trainer that waits for its candidate is ended by the host long before.
constexpr std::chrono::hours kLongestWait{1};
constexpr int64_t kMostAttempts = 3;
// What c10d adds: the store, Gloo's loop and workers, NCCL's; connections with all ranks.
constexpr unsigned kNetworkThreads = 24, kNetworkFiles = 4096;

// What two jails of one run share.
struct Run {
  fs::path folder;
  Job job;
  int cancel_fd = -1;
  OutputTail output{kOutputTailBytes};

  // Whoever asked for a check waits for it, and its folder goes away with the answer.
  bool durable() const { return job.kind != "check"; }
};

using RecordSink = std::function<void(const Json&)>;

sandbox::Policy make_policy(const Run& run, milliseconds time_left, bool output_writable) {
  const Limits& limits = run.job.limits;
  const unsigned threads = std::max(1U, limits.threads / run.job.ranks);  // of each rank
  sandbox::Policy policy = trainer_policy(threads, limits.memory_bytes, run.job.allow_degraded);
  policy.arguments = {"--job-fd", std::to_string(kJobFd), "--event-fd", std::to_string(kEventFd)};
  policy.read_only = run.job.data;
  policy.output = run.folder / "output";
  policy.output_writable = output_writable;
  policy.file_bytes = limits.output_bytes;
  policy.cpu_time = limits.deadline * (limits.threads + 1);
  policy.deadline = time_left;
  if (run.job.remote_rank) {
    policy.network = true;
    policy.threads += kNetworkThreads;
    policy.open_files = kNetworkFiles;
  }
  return policy;
}

std::string wanted_device(const Json& document) {
  return document.value(Json::json_pointer("/preset/train/device"), std::string("cpu"));
}

// With the GPUs that `device` asks for; with "auto" without them, where that can't be, and the log
// says why.
Result<sandbox::Jail> start_jail(const std::function<sandbox::Policy()>& policy_without_gpu,
                                 const std::string& device,
                                 std::vector<sandbox::LayerState>& layers) {
  sandbox::Policy policy = policy_without_gpu();
  BITLOOP_ASSIGN(why_not, add_gpu(policy, device));
  if (!why_not.empty()) fmt::print(stderr, "{}\n", why_not);
  auto jail = sandbox::Jail::start(policy, &layers);
  if (jail || !policy.gpu || device != "auto") return jail;
  fmt::print(stderr, "training on the CPU, since no jail with a GPU can be made: {}\n",
             jail.error().message);
  layers.clear();
  return sandbox::Jail::start(policy_without_gpu(), &layers);
}

// The job document as a file for one process of the jail.
Result<UniqueFd> job_file(const Json& document) {
  return sealed_file(document.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// The other processes of a run of several ranks: `document` becomes rank 0's, each other rank is a
// companion with a document of its own, and without the channel of records. What is here must be
// there until the jail has started.
struct Together {
  RankLinks links;
  std::vector<UniqueFd> jobs;
  std::vector<std::vector<sandbox::FdMapping>> companions;
};
Result<Together> make_ranks(const Job& job, Json& document, int output_fd,
                            const std::vector<sandbox::FdMapping>& shared) {
  BITLOOP_ASSIGN(links, RankLinks::make(job.ranks));
  Together together{std::move(links), {}, {}};
  for (unsigned rank = 1; rank < job.ranks; ++rank) {
    document["ranks"] = together.links.describe(rank, job.rank_wait_s);
    BITLOOP_ASSIGN(file, job_file(document));
    std::vector<sandbox::FdMapping> descriptors = together.links.descriptors(rank);
    descriptors.insert(descriptors.end(), shared.begin(), shared.end());
    descriptors.insert(
        descriptors.end(),
        {{output_fd, STDOUT_FILENO}, {output_fd, STDERR_FILENO}, {file.get(), kJobFd}});
    together.companions.push_back(std::move(descriptors));
    together.jobs.push_back(std::move(file));
  }
  document["ranks"] = together.links.describe(0, job.rank_wait_s);
  return together;
}

// Where this job's ranks on several machines meet: the repetition apart from the run, whose place
// may not be free yet.
void name_meeting(const Job& job, Json& document) {
  Json& ranks = document["ranks"];
  const bool repeats = document["kind"] == "verify";
  ranks["wait_s"] = job.rank_wait_s;
  ranks["meeting"] = document["kind"];
  if (repeats && !ranks.value("store_is_there", false))
    ranks["port"] = ranks.value("port", int64_t{0}) + 1;
}

// One jail from start to end.
Outcome run_jail(Run& run, const Json& document, milliseconds time_left, bool output_writable,
                 const RecordSink& on_record) {
  Json with_nonce = document;
  if (run.job.remote_rank) name_meeting(run.job, with_nonce);
  const std::string nonce = random_hex(16);
  with_nonce["nonce"] = nonce;
  if (run.job.waits) with_nonce["candidate_fd"] = kCandidateFd;
  const auto initial = open_initial_files(with_nonce, kFirstFileFd);
  if (!initial) return not_run(initial.error().message, {});
  const auto no_descriptors = [](const Error& error) {
    return not_run(fmt::format("the run's descriptors cannot be made: {}", error.message), {});
  };
  auto events = make_pipe();
  auto output = make_pipe();
  if (!events || !output) return no_descriptors(events ? output.error() : events.error());

  std::vector<sandbox::FdMapping> shared;  // of all processes of the jail
  for (size_t i = 0; i < initial->size(); ++i)
    shared.push_back({(*initial)[i].get(), kFirstFileFd + static_cast<int>(i)});
  std::optional<Together> together;
  if (run.job.ranks > 1) {
    auto made = make_ranks(run.job, with_nonce, output->write.get(), shared);
    if (!made) return no_descriptors(made.error());
    together = std::move(*made);
  }
  auto job_fd = job_file(with_nonce);
  if (!job_fd) return no_descriptors(job_fd.error());
  const auto policy_without_gpu = [&] {
    sandbox::Policy policy =
        make_policy(run, run.job.waits ? kLongestWait : time_left, output_writable);
    policy.descriptors = shared;
    policy.descriptors.insert(policy.descriptors.end(), {{output->write.get(), STDOUT_FILENO},
                                                         {output->write.get(), STDERR_FILENO},
                                                         {job_fd->get(), kJobFd},
                                                         {events->write.get(), kEventFd}});
    // Read by the trainer itself: when the host dies, that is the end of the file and of the
    // trainer.
    if (run.job.waits) policy.descriptors.push_back({STDIN_FILENO, kCandidateFd});
    if (together) {
      const auto links = together->links.descriptors(0);
      policy.descriptors.insert(policy.descriptors.end(), links.begin(), links.end());
      policy.companions = together->companions;
      policy.threads *= run.job.ranks;
    }
    return policy;
  };
  std::vector<sandbox::LayerState> layers;
  auto jail = start_jail(policy_without_gpu, wanted_device(document), layers);
  if (!jail) return not_run(jail.error().message, std::move(layers));
  job_fd->reset();
  together.reset();
  events->write.reset();
  output->write.reset();

  Reported reported;
  EventStream stream(nonce, [&](const Json& record) {
    const Json& type = record["type"];
    if (type == "stage" && record.value("name", Json()) == "candidate_loaded") {
      if (run.job.waits && !reported.candidate_loaded) jail->restart_deadline(time_left);
      reported.candidate_loaded = true;
    }
    if (type == "result") reported.result = record;
    on_record(record);
  });
  const auto on_events = [&](std::string_view data) -> std::optional<sandbox::KilledBy> {
    if (stream.feed(data)) return std::nullopt;
    return sandbox::KilledBy::kEvents;
  };
  const auto on_output = [&](std::string_view data) -> std::optional<sandbox::KilledBy> {
    run.output.append(data);
    return std::nullopt;
  };
  const sandbox::Stream streams[] = {{events->read.get(), on_events},
                                     {output->read.get(), on_output}};
  sandbox::Verdict verdict = jail->wait(streams, run.cancel_fd);
  reported.violation = stream.violation();
  if (!reported.candidate_loaded) reported.last_words = last_line(run.output.text());
  const bool never_used = run.job.waits && !reported.candidate_loaded;
  const Limits& limits = run.job.limits;
  Outcome outcome =
      judge(std::move(verdict), std::move(reported),
            {limits.deadline.count(), limits.memory_bytes >> 20, limits.output_bytes >> 20});
  outcome.degraded = sandbox::is_degraded(outcome.jail.layers);
  if (never_used) {
    outcome.status = "infrastructure";  // whatever ended it, no candidate is to blame
    outcome.message = "the trainer ended before its candidate came: " + outcome.message;
  }
  return outcome;
}

// How often a run was started again without having come further: a file, "attempts step", since
// nothing else is left of a supervisor that was killed.
class Attempts {
 public:
  Attempts(const fs::path& folder, int64_t steps) : file_(folder / "attempts"), steps_(steps) {
    if (const auto text = read_file(file_)) std::istringstream(*text) >> made_ >> step_;
  }
  int64_t made() const { return made_; }
  Status begin() {
    ++made_;
    return keep();
  }
  // A checkpoint of this step was written, says the trainer, who may not be believed: only a step
  // beyond all before counts, of which there are no more than the run has.
  bool came_to(const Json& step) {
    if (!step.is_number_integer() || step.get<int64_t>() <= step_ || step.get<int64_t>() > steps_)
      return false;
    step_ = step.get<int64_t>();
    made_ = 0;
    (void)keep();
    return true;
  }

 private:
  Status keep() const { return write_file_atomic(file_, fmt::format("{} {}\n", made_, step_)); }

  fs::path file_;
  int64_t steps_ = 0, made_ = 0, step_ = 0;
};

// A run that has its score needs no checkpoints any more, and they are several times the weights.
void remove_checkpoints(const fs::path& output) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator entry(output, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().filename().string().starts_with("checkpoint-"))
      found.push_back(entry->path());
  for (const fs::path& path : found) fs::remove(path, error);
}

// A run that goes on does so on what it began on, and where that is a GPU there must be one now.
Status keep_device(Run& run) {
  if (run.job.device != "auto") return {};
  pin_device(run.folder, run.job);
  if (run.job.device != "cuda") return {};
  sandbox::Policy policy = make_policy(run, run.job.limits.deadline, true);
  if (const auto found = add_gpu(policy, run.job.device); !found)
    return fail("infrastructure",
                fmt::format("the run began on a GPU, and its checkpoints go on on one alone: {}; "
                            "resume it where there is one",
                            found.error().message));
  return {};
}

// The run itself; everything that can go wrong is in the outcome.
Outcome run_job(Run& run) {
  std::error_code error;
  const bool goes_on = fs::exists(run.folder / "events.jsonl", error);
  auto job = read_job(run.folder / "job.json");
  if (!job) return not_run(job.error().message, {});
  run.job = std::move(*job);
  if (goes_on && !run.job.checkpoints())
    return not_run("the supervisor of this run was killed, and the run with it", {});
  Attempts attempts(run.folder, run.job.steps);
  if (goes_on) {
    if (attempts.made() >= kMostAttempts)
      return not_run(fmt::format("the run was killed and started again {} times without a new "
                                 "checkpoint in between; see what kills it, then test again",
                                 kMostAttempts),
                     {});
    if (const auto begun = attempts.begin(); !begun) return not_run(begun.error().message, {});
    run.job.document["resume"] = true;
    if (const auto kept = keep_device(run); !kept) return not_run(kept.error().message, {});
  }
  fs::create_directories(run.folder / "output", error);
  if (error) return not_run(fmt::format("output/ can't be made: {}", error.message()), {});
  auto files = RunFiles::open(run.folder, goes_on);
  if (!files) return not_run(files.error().message, {});

  const auto start = std::chrono::steady_clock::now();
  const milliseconds total = run.job.limits.deadline;
  const bool trains = run.job.kind == "train";
  Outcome outcome =
      run_jail(run, run.job.document, total, run.job.kind != "verify", [&](const Json& record) {
        files->take(record);
        if (record["type"] == "resumed" && record.value("step", Json()) == 0)
          run.job.document.erase("first_ranks");  // it began anew
        if (record["type"] != "checkpoint" || record.value("ok", Json()) != true) return;
        if (attempts.came_to(record.value("step", Json())))
          files->sync();  // what came before the checkpoint is not told again
      });
  if (auto kept = files->finish(run.durable()); !kept && outcome.status == "ok") {
    outcome.status = "infrastructure";
    outcome.message = "the run's records could not be kept: " + kept.error().message;
  }
  if (!trains || outcome.status != "ok") return outcome;

  const bool keeps_files = run.job.remote_rank.value_or(0) == 0;
  if (keeps_files &&
      !fs::is_regular_file(fs::symlink_status(run.folder / "output" / kWeightsFile, error))) {
    outcome.status = "infrastructure";
    outcome.message = fmt::format("the trainer reported ok but left no output/{}", kWeightsFile);
    return outcome;
  }
  Json repetition = run.job.document;
  repetition["kind"] = "verify";
  // On the device that training had, whatever "auto" would choose now.
  if (run.job.device == "auto")
    repetition["preset"]["train"]["device"] =
        outcome.result->value(Json::json_pointer("/metrics/device"), std::string("cpu")) == "cpu"
            ? "cpu"
            : "cuda";
  if (const Json first = run.job.document.value("first_ranks", Json()); first.is_number_unsigned())
    run.job.ranks = std::clamp(first.get<unsigned>(), 1U, kMostRanks);
  const auto spent =
      std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
  const milliseconds left = std::max(total - spent, milliseconds(1));
  compare_with_repetition(outcome, run_jail(run, repetition, left, false, [](const Json&) {}));
  return outcome;
}

// The signals that cancel a run, as a descriptor. Those that would end the supervisor by accident
// are ignored.
UniqueFd prepare_signals() {
  ::signal(SIGHUP, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  sigset_t cancel;
  sigemptyset(&cancel);
  sigaddset(&cancel, SIGTERM);
  sigaddset(&cancel, SIGINT);
  ::sigprocmask(SIG_BLOCK, &cancel, nullptr);
  ::setsid();  // fails for a process that leads a group already, which will do as well
  return UniqueFd(::signalfd(-1, &cancel, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace

int supervise(const std::filesystem::path& run_dir) {
  const auto complain = [](const std::string& sentence, int code) {
    fmt::print(stderr, "bitloop supervise: {}\n", sentence);
    return code;
  };
  std::error_code error;
  Run run;
  run.folder = fs::canonical(run_dir, error);
  if (error) return complain(fmt::format("{}: {}", run_dir.string(), error.message()), 3);
  const UniqueFd cancel = prepare_signals();
  run.cancel_fd = cancel.get();
  auto lock = open_file(run.folder / "supervisor.lock", O_RDWR | O_CREAT);
  if (!lock) return complain(lock.error().message, 3);
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) != 0)
    return complain(fmt::format("{}: another supervisor has this run", run.folder.string()), 1);
  // For a host that adopts the run and is to cancel it. Without it the run goes on all the same.
  if (::ftruncate(lock->get(), 0) == 0)
    (void)write_all(lock->get(), fmt::format("{}\n", ::getpid()));
  if (fs::exists(run.folder / "verdict.json", error)) return 0;

  const Outcome outcome = run_job(run);
  // The machine is being shut down: the run goes on later.
  if (outcome.status == "cancelled" && run.job.checkpoints() && !run_is_cancelled(run.folder))
    return complain("ended by a signal; the run goes on from its newest checkpoint", 3);
  const auto write = run.durable() ? write_file_atomic : replace_file;
  // Text for people; without it the verdict still stands.
  (void)write(run.folder / "output.txt", run.output.text());
  const std::string document =
      verdict_document(outcome).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  if (auto written = write(run.folder / "verdict.json", document); !written)
    return complain(written.error().message, 3);
  if (outcome.status == "ok") remove_checkpoints(run.folder / "output");
  return 0;
}

}  // namespace bitloop::jobs
