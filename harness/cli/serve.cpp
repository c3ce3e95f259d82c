#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "harness/api/server.h"
#include "harness/api/tokens.h"
#include "harness/base/paths.h"
#include "harness/base/text.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/journal/packer.h"

namespace bitloop::cli {
namespace {

constexpr int kFinishTimeoutMs = 15'000;
constexpr size_t kFilesForCalls = 800;  // connections of calls, the journal, runs
constexpr size_t kFewestStreams = 16;

struct ServeOptions {
  std::string host = "127.0.0.1";
  std::vector<std::string> names;  // others under which clients reach it
  api::TrafficOptions traffic;
  int port = 0;
  int jobs = 1;
  int ready_checks = 2;
  int pack_after = 5000;
  int rest_after = 60;
  bool allow_degraded = false;
  std::string workspace, benchmarks;
};

// As many files as this user may open, so that thousands of connections fit; returns how many.
size_t widen_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kFilesForCalls;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

// Beyond this machine nobody is served without a token.
Status check_host(const ServeOptions& options, const std::filesystem::path& workspace) {
  const auto tokens = api::TokenFile(workspace).read();
  if (!tokens) return std::unexpected(tokens.error());
  if (api::is_loopback(options.host) || (*tokens && !(*tokens)->empty())) return {};
  return fail("wrong_usage",
              fmt::format("--host {} would let others use this server, and {} has no tokens; make "
                          "one first: bitloop token add NAME --role agent.",
                          single_line(options.host), workspace.string()));
}

std::string url_of(const std::string& host, int port) {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return fmt::format("http://{}:{}", is_ipv6 ? "[" + host + "]" : host, port);
}

// A connection has a thread, and by itself the allocator gives each its own heap (eight for each
// processor), none of which it ever gives back as a whole: under 64 agents it took several times
// what was in use.
void keep_the_heap_small() {
  constexpr int kHeaps = 2;
  constexpr int kFreeAtEnd = 1 << 20;
  constexpr int kLarge = 128 << 10;  // from here on a block has pages of its own
  (void)::mallopt(M_ARENA_MAX, kHeaps);
  (void)::mallopt(M_MMAP_THRESHOLD, kLarge);
  // What is free at the end of a heap is given back from here on: less would go to the kernel and
  // come back, zeroed, with every edit.
  (void)::mallopt(M_TRIM_THRESHOLD, kFreeAtEnd);
}

// What is free but lies between what is in use: the allocator gives back only what lies at an end.
void give_back_memory() { ::malloc_trim(0); }

void report_packing(std::string_view sentence, bool failed) {
  give_back_memory();  // thousands of names were listed
  spdlog::log(failed ? spdlog::level::warn : spdlog::level::info, "{}", sentence);
}

int serve(const ServeOptions& options) {
  keep_the_heap_small();
  // Blocked before the first thread begins, so that every thread inherits it and only sigwait sees
  // them.
  sigset_t stop_signals;
  ::sigemptyset(&stop_signals);
  ::sigaddset(&stop_signals, SIGTERM);
  ::sigaddset(&stop_signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);

  const std::filesystem::path workspace = choose_workspace(options.workspace);
  if (const Status host = check_host(options, workspace); !host) return report(host.error());
  const auto layers = probe_sandbox(options.allow_degraded);
  if (!layers) return report(layers.error());
  sessions::ServiceOptions opened{.workspace = workspace,
                                  .share_dir = share_dir(),
                                  .jobs = options.jobs,
                                  .allow_degraded = options.allow_degraded,
                                  .ready_checks = options.ready_checks,
                                  .benchmarks = choose_benchmarks(options.benchmarks),
                                  .resumes_runs = true,
                                  .rest_after = std::chrono::seconds(options.rest_after),
                                  .after_look = give_back_memory};
  auto service = sessions::Service::open(opened);
  if (!service) return report(service.error());
  const size_t files = widen_file_limit();
  const size_t spare = files > kFilesForCalls ? files - kFilesForCalls : 0;
  const size_t most = std::clamp(spare, kFewestStreams, api::StreamLimit().most());
  const api::StreamOptions streams{.limit = std::make_shared<api::StreamLimit>(most)};
  api::Dispatcher dispatcher(
      api::make_routes(**service, {*layers, streams, share_dir() / "dashboard"}),
      {std::filesystem::absolute(workspace), options.host, options.names}, options.traffic);
  api::Server server(dispatcher, {.host = options.host,
                                  .port = options.port,
                                  .max_streams = most,
                                  .on_thread_limit = [limit = streams.limit](size_t threads) {
                                    limit->fit(threads);
                                  }});
  const auto port = server.bind();
  if (!port) return report(port.error());
  journal::Packer packer(
      std::filesystem::absolute(workspace) / "journal.git",
      {.after = static_cast<size_t>(options.pack_after), .report = report_packing});
  std::thread listener([&server] { server.run(); });
  fmt::print("listening on {}\n", url_of(options.host, *port));
  std::fflush(stdout);

  int signal = 0;
  ::sigwait(&stop_signals, &signal);
  server.stop();
  (*service)->stop();  // long polls answer now
  server.wait_idle(kFinishTimeoutMs);
  std::fflush(nullptr);
  // Threads of idle connections may sleep for seconds; nothing that matters is in memory alone.
  ::_exit(kDone);
}

}  // namespace

void add_serve(CLI::App& app, int& exit_code) {
  auto options =
      std::make_shared<ServeOptions>();  // shared with the callback, which outlives this function
  CLI::App* command = app.add_subcommand("serve", "Serve the HTTP API until SIGTERM; runs live on");
  command->add_option("--port", options->port, "TCP port; 0 (default) takes a free one")
      ->check(CLI::Range(0, 65535));
  command->add_option("--host", options->host,
                      "address to listen on (default 127.0.0.1); any but this machine's own needs "
                      "tokens (bitloop token)");
  command->add_option("--allow-host", options->names,
                      "another name or address under which clients ask for this server; several "
                      "are possible");
  command->add_flag("--require-if-match", options->traffic.require_if_match,
                    "refuse changes of a session without If-Match (428)");
  command
      ->add_option("--max-calls", options->traffic.calls,
                   "calls worked on at a time, for each token, or for all clients (default 400)")
      ->check(CLI::Range(1, 100'000));
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  add_benchmarks(*command, options->benchmarks);
  command->add_option("--jobs", options->jobs, "tests that run at a time (default 1)")
      ->check(CLI::Range(1, 64));
  command
      ->add_option("--ready-checks", options->ready_checks,
                   "trainers kept ready for checks, one a task (default 2; 0: none)")
      ->check(CLI::Range(0, 16));
  command
      ->add_option("--pack-after", options->pack_after,
                   "files of single objects after which the journal is packed in the background "
                   "(default 5000; 0: never)")
      ->check(CLI::Range(0, 1'000'000));
  command
      ->add_option("--rest-after", options->rest_after,
                   "seconds after which a session that nobody asks for is kept on disk alone, from "
                   "where it comes back at the next call (default 60; 0: never)")
      ->check(CLI::Range(0, 86'400));
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = serve(*options); });
}

}  // namespace bitloop::cli
