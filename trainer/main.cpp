// bitloop-trainer --job-fd N --event-fd N: runs one job (docs/architecture.md). Started by a
// supervisor, in a jail.
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <new>

#include "harness/base/fd.h"
#include "harness/base/version.h"
#include "trainer/failure.h"
#include "trainer/job.h"
#include "trainer/loop/evaluation.h"
#include "trainer/loop/export.h"
#include "trainer/loop/generation.h"
#include "trainer/loop/modes.h"
#include "trainer/loop/packed_run.h"
#include "trainer/records.h"
#include "trainer/shell/serve.h"

namespace {

using namespace bitloop;
using namespace bitloop::trainer;

constexpr int kDone = 0, kMachine = 3;

// Activations of a step are freed and asked for again at the next: keep their pages instead of
// returning them to the kernel, which would zero them anew each time.
void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);  // M_MMAP_THRESHOLD can be no more than 32 MiB
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
}

Status dispatch(Job job, const Records& records) {
  if (job.kind == "check") return check(std::move(job), records);
  if (job.kind == "profile") return profile(std::move(job), records);
  if (job.kind == "verify") return verify(std::move(job), records);
  return train(std::move(job), records);  // or quantises without training
}

void send_failure(const Records& records, const std::string& status, const std::string& message) {
  records.send("result", bare_result(status, message));
}

// A shell has no result: what a chunk does wrong is an answer, and what goes wrong outside of one
// ends the process, which the host sees.
int run_shell(const nlohmann::json& job, int event_fd) {
  try {
    const Records records(event_fd, job.at("nonce").get<std::string>());
    if (const Status served = shell::serve(job, records); !served) {
      fmt::print(stderr, "bitloop-trainer: {}\n", served.error().message);
      return kMachine;
    }
    return kDone;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bitloop-trainer: {}\n", error.what());
    return kMachine;
  }
}

// Jobs on a model that is there. What is wrong with model or data is the result; the rest ends the
// process.
int run_with_model(Status (*work)(const nlohmann::json&, const Records&), const nlohmann::json& job,
                   int event_fd) {
  try {
    const Records records(event_fd, job.at("nonce").get<std::string>());
    try {
      if (const Status done = work(job, records); !done) {
        fmt::print(stderr, "bitloop-trainer: {}\n", done.error().message);
        return kMachine;
      }
    } catch (const std::exception& error) {
      const Error failure = failure_of(error);
      records.send("result", {{"status", failure.code}, {"message", failure.message}});
    }
    return kDone;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bitloop-trainer: {}\n", error.what());
    return kMachine;
  }
}

// A rank that has no channel of records says what ended it as text; its exit code ends the run.
int without_words(const std::string& message) {
  fmt::print(stderr, "bitloop-trainer: {}\n", message.substr(0, message.find('\n')));
  return kMachine;
}

int run(int job_fd, int event_fd) {
  auto text = read_all(job_fd, size_t{64} << 20);
  ::close(job_fd);
  if (!text) {
    fmt::print(stderr, "bitloop-trainer: the job can't be read: {}\n", text.error().message);
    return kMachine;
  }
  if (const auto other = nlohmann::json::parse(*text, nullptr, false); other.is_object()) {
    const auto kind = other.value("kind", nlohmann::json());
    if (kind == "shell") return run_shell(other, event_fd);
    if (kind == "eval") return run_with_model(evaluate_benchmarks, other, event_fd);
    if (kind == "generate") return run_with_model(generate, other, event_fd);
    if (kind == "export") return run_with_model(export_model, other, event_fd);
    if (kind == "pack") return run_with_model(pack_run, other, event_fd);
  }
  auto job = parse_job(*text);
  if (!job) {
    fmt::print(stderr, "bitloop-trainer: {}\n", job.error().message);
    return kMachine;
  }
  // Rank 0 speaks for all of its jail: the others have no channel.
  const bool speaks = job->ranks.rank == 0 || !job->ranks.address.empty();
  const Records records(speaks ? event_fd : -1, job->nonce);
  try {
    if (const Status done = dispatch(std::move(*job), records); !done) {
      fmt::print(stderr, "bitloop-trainer: {}\n", done.error().message);
      return kMachine;
    }
  } catch (const std::exception& error) {
    const Error failure = failure_of(error);
    send_failure(records, failure.code, failure.message);
    if (!speaks) return without_words(failure.message);
  }
  return kDone;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs one bitloop job; started by the supervisor");
  app.set_version_flag("--version", std::string(version()) + " " + git_hash());
  int job_fd = -1, event_fd = -1;
  app.add_option("--job-fd", job_fd, "descriptor that the job document is read from")->required();
  app.add_option("--event-fd", event_fd, "descriptor that records are written to")->required();
  CLI11_PARSE(app, argc, argv);
  keep_freed_memory();
  const int code = run(job_fd, event_fd);
  // Not exit(): destructors of the candidate's state and of LibTorch have nothing to add.
  fflush(nullptr);
  ::_exit(code);
}
