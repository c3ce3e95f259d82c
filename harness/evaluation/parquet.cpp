#include "harness/evaluation/parquet.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/base/text.h"
#include "harness/jobs/trainer_process.h"
#include "sandbox/jail.h"

namespace bitloop::evaluation {
namespace {

constexpr uint64_t kMemory = uint64_t{1} << 30;
constexpr size_t kMostText = size_t{256} << 20;
constexpr size_t kMostLine = size_t{4} << 20;  // what evaluation reads of a document
constexpr int kRefused = 1;         // its exit code when something is wrong with the file
constexpr size_t kMostSaid = 1024;  // of what the program says is wrong
constexpr std::chrono::seconds kLongest{120};
constexpr unsigned kThreads = 4;  // it works with one; loading Arrow starts another

Result<std::filesystem::path> program() {
  std::filesystem::path path = program_path("bitloop-parquet");
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    return fail("infrastructure",
                fmt::format("{} is not there, without which no Parquet file can be read: build it, "
                            "or take the benchmarks' .jsonl files",
                            path.string()));
  return path;
}

sandbox::Policy policy_of(const std::filesystem::path& path, bool allow_degraded) {
  sandbox::Policy policy;
  policy.program = path;
  // The C library's allocator: it gives memory back, and its limits are the jail's.
  policy.environment = {"ARROW_DEFAULT_MEMORY_POOL=system", "LC_ALL=C"};
  policy.memory_bytes = kMemory;
  policy.threads = kThreads;
  policy.cpu_time = kLongest;
  policy.deadline = kLongest;
  policy.allow_degraded = allow_degraded;
  policy.disable_for_test = jobs::layers_disabled_for_test();
  return policy;
}

std::string how_it_ended(const sandbox::Verdict& verdict, const std::string& said) {
  using sandbox::KilledBy;
  if (verdict.killed_by == KilledBy::kMemory)
    return fmt::format("reading it takes more than {} MiB of memory", kMemory >> 20);
  if (verdict.killed_by == KilledBy::kDeadline || verdict.killed_by == KilledBy::kCpu)
    return fmt::format("reading it takes longer than {} s", kLongest.count());
  if (verdict.killed_by == KilledBy::kEvents)
    return fmt::format("its rows are more than {} MiB of text", kMostText >> 20);
  if (verdict.killed_by)
    return fmt::format("the program that reads it was killed ({})",
                       sandbox::killed_by_name(*verdict.killed_by));
  if (verdict.signal)
    return fmt::format("the program that reads it died of signal {}", *verdict.signal);
  return said.empty() ? fmt::format("the program that reads it ended with code {}",
                                    verdict.exit_code.value_or(-1))
                      : said;
}

}  // namespace

Result<std::string> parquet_lines(std::string_view content, bool allow_degraded) {
  BITLOOP_ASSIGN(path, program());
  BITLOOP_ASSIGN(file, jobs::sealed_file(content));
  BITLOOP_ASSIGN(output, make_pipe());
  BITLOOP_ASSIGN(errors, make_pipe());
  sandbox::Policy policy = policy_of(path, allow_degraded);
  policy.descriptors = {{file.get(), STDIN_FILENO},
                        {output.write.get(), STDOUT_FILENO},
                        {errors.write.get(), STDERR_FILENO}};
  BITLOOP_ASSIGN(jail, sandbox::Jail::start(policy, nullptr));
  output.write.reset();
  errors.write.reset();

  std::string text, said;
  const auto on_text = [&](std::string_view data) -> std::optional<sandbox::KilledBy> {
    if (data.size() > kMostText - text.size()) return sandbox::KilledBy::kEvents;
    text += data;
    return std::nullopt;
  };
  const auto on_said = [&](std::string_view data) -> std::optional<sandbox::KilledBy> {
    said += data.substr(0, kMostSaid - said.size());
    return std::nullopt;
  };
  const sandbox::Stream streams[] = {{output.read.get(), on_text}, {errors.read.get(), on_said}};
  const sandbox::Verdict verdict = jail.wait(streams);
  // The loader's, where Arrow's libraries are gone: that is not the file's fault.
  if (verdict.exit_code > kRefused && !verdict.killed_by)
    return fail("infrastructure", fmt::format("{} does not run: {}", path.string(),
                                              how_it_ended(verdict, single_line(said))));
  if (verdict.exit_code != 0 || verdict.killed_by)
    return fail("bad_parquet", how_it_ended(verdict, single_line(said)));
  // A line becomes a tree in the host's memory, and the program may be in the hands of its file.
  int64_t row = 0;
  for (size_t at = 0; at < text.size(); ++row) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end - at > kMostLine)
      return fail("bad_parquet",
                  fmt::format("row {} is more than {} MiB of text", row + 1, kMostLine >> 20));
    at = end + 1;
  }
  return text;
}

}  // namespace bitloop::evaluation
