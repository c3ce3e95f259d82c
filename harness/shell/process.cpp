#include "harness/shell/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "harness/base/text.h"
#include "harness/jobs/event_stream.h"
#include "harness/jobs/output_tail.h"
#include "harness/jobs/trainer_process.h"
#include "sandbox/jail.h"

namespace bitloop::shell {
namespace {

constexpr int kRequestFd = 5, kControlFd = 6, kFirstFileFd = 7;
constexpr size_t kPrintedTail = 4096;
// A shell waits for its user; each chunk has a limit of its own.
constexpr std::chrono::hours kLongest{24 * 30};

// A page that both sides share; only this side writes.
Result<UniqueFd> control_page(void*& mapped) {
  UniqueFd fd(::memfd_create("control", MFD_CLOEXEC));
  if (!fd.valid() || ::ftruncate(fd.get(), sizeof(uint64_t)) != 0)
    return std::unexpected(errno_error("the control page", errno));
  mapped = ::mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) {
    mapped = nullptr;
    return std::unexpected(errno_error("the control page", errno));
  }
  // The jail gets a descriptor that it can't write to.
  return open_file(fmt::format("/proc/self/fd/{}", fd.get()), O_RDONLY);
}

}  // namespace

int Process::file_fd(size_t i) { return kFirstFileFd + static_cast<int>(i); }

Result<std::unique_ptr<Process>> Process::start(Json job, const std::vector<UniqueFd>& files,
                                                const Options& options) {
  std::unique_ptr<Process> process(new Process(options.memory_bytes));
  const std::string nonce = random_hex(16);
  job["nonce"] = nonce;
  job["threads"] = options.threads;
  job["request_fd"] = kRequestFd;
  job["control_fd"] = kControlFd;
  BITLOOP_ASSIGN(job_fd,
                 jobs::sealed_file(job.dump(-1, ' ', false, Json::error_handler_t::replace)));
  BITLOOP_ASSIGN(control, control_page(process->control_));
  BITLOOP_ASSIGN(requests, make_pipe());
  BITLOOP_ASSIGN(events, make_pipe());
  BITLOOP_ASSIGN(output, make_pipe());
  BITLOOP_ASSIGN(cancel, make_pipe());

  sandbox::Policy policy = jobs::trainer_policy(options.threads, options.memory_bytes, options.allow_degraded);
  policy.arguments = {"--job-fd", std::to_string(jobs::kJobFd), "--event-fd",
                      std::to_string(jobs::kEventFd)};
  if (options.output_bytes > 0) policy.file_bytes = options.output_bytes;
  policy.cpu_time = kLongest;
  policy.deadline = kLongest;
  policy.descriptors = {{output.write.get(), STDOUT_FILENO}, {output.write.get(), STDERR_FILENO},
                        {job_fd.get(), jobs::kJobFd},        {events.write.get(), jobs::kEventFd},
                        {requests.read.get(), kRequestFd},   {control.get(), kControlFd}};
  for (size_t i = 0; i < files.size(); ++i)
    policy.descriptors.push_back({files[i].get(), file_fd(i)});

  std::vector<sandbox::Policy> policies = {policy};  // the next one where a jail can't be had
  BITLOOP_ASSIGN(why_not, jobs::add_gpu(policy, options.device));
  if (!why_not.empty()) fmt::print(stderr, "{}\n", why_not);
  if (policy.gpu && options.device != "auto") policies.clear();
  if (policy.gpu) policies.insert(policies.begin(), policy);

  process->requests_ = std::move(requests.write);
  process->events_ = std::move(events.read);
  process->output_ = std::move(output.read);
  process->cancel_read_ = std::move(cancel.read);
  process->cancel_write_ = std::move(cancel.write);
  process->of_jail_.push_back(std::move(job_fd));
  process->of_jail_.push_back(std::move(control));
  process->of_jail_.push_back(std::move(requests.read));
  process->of_jail_.push_back(std::move(events.write));
  process->of_jail_.push_back(std::move(output.write));

  Process* const self = process.get();
  self->thread_ = std::thread([self, policies, nonce] { self->run(policies, nonce); });
  std::unique_lock lock(self->mutex_);
  self->changed_.wait(lock, [&] { return self->started_.has_value(); });
  if (!*self->started_) return std::unexpected(self->started_->error());
  return process;
}

// The jail's thread, from start to end.
void Process::run(const std::vector<sandbox::Policy>& policies, const std::string& nonce) {
  // The terminal's signals are for the thread that holds the terminal.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  auto jail = [&] {
    auto first = sandbox::Jail::start(policies.front(), nullptr);
    if (first || policies.size() == 1) return first;
    fmt::print(stderr, "on the CPU, since no jail with a GPU can be made: {}\n",
               first.error().message);
    return sandbox::Jail::start(policies.back(), nullptr);
  }();
  of_jail_.clear();
  {
    const std::lock_guard lock(mutex_);
    started_ = jail ? Status() : Status(std::unexpected(jail.error()));
    changed_.notify_all();
  }
  if (!jail) return;

  jobs::OutputTail printed(kPrintedTail);
  jobs::EventStream stream(nonce, [this](const Json& record) {
    const std::lock_guard lock(mutex_);
    records_.push_back(record);
    changed_.notify_all();
  });
  const auto on_events = [&](std::string_view data) -> std::optional<sandbox::KilledBy> {
    if (stream.feed(data)) return std::nullopt;
    return sandbox::KilledBy::kEvents;
  };
  const auto on_output = [&](std::string_view data) -> std::optional<sandbox::KilledBy> {
    printed.append(data);
    return std::nullopt;
  };
  const sandbox::Stream streams[] = {{events_.get(), on_events}, {output_.get(), on_output}};
  sandbox::Verdict verdict = jail->wait(streams, cancel_read_.get());
  const std::lock_guard lock(mutex_);
  violation_ = stream.violation();
  printed_ = single_line(printed.text());
  verdict_ = std::move(verdict);
  changed_.notify_all();
}

Process::~Process() {
  requests_.reset();  // a trainer that waits for a request ends by itself, any other is killed
  if (thread_.joinable()) {
    kill();
    thread_.join();
  }
  if (control_ != nullptr) ::munmap(control_, sizeof(uint64_t));
}

bool Process::send(const Json& request) {
  const std::string line = request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return write_all(requests_.get(), line).has_value();
}

std::optional<Process::Json> Process::next(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, until, [&] { return !records_.empty() || verdict_.has_value(); });
  if (records_.empty()) return std::nullopt;
  Json record = std::move(records_.front());
  records_.pop_front();
  return record;
}

void Process::interrupt(uint64_t id) {
  static_cast<std::atomic<uint64_t>*>(control_)->store(id, std::memory_order_relaxed);
}

void Process::kill() { (void)write_all(cancel_write_.get(), "k"); }

bool Process::ended() {
  const std::lock_guard lock(mutex_);
  return verdict_.has_value();
}

std::string Process::reason() {
  const std::lock_guard lock(mutex_);
  if (!violation_.empty()) return "it was killed for what it sent: " + violation_;
  if (verdict_->killed_by == sandbox::KilledBy::kMemory)
    return fmt::format("it was killed: more than {} MiB of memory", memory_bytes_ >> 20);
  if (verdict_->killed_by)
    return fmt::format("it was killed ({})", sandbox::killed_by_name(*verdict_->killed_by));
  if (verdict_->signal) return fmt::format("it died of signal {}", *verdict_->signal);
  return printed_.empty() ? fmt::format("it ended with code {}", verdict_->exit_code.value_or(-1))
                          : printed_;
}

}  // namespace bitloop::shell
