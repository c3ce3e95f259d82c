// The service: every operation on sessions, used by HTTP and by the command line alike. It knows no
// HTTP.
//
// The journal is the truth: an operation has happened when its commit is on disk, and open()
// rebuilds everything else (sessions, the ledger, which runs to adopt) from it. All functions may
// be called from any thread; sessions do not wait for each other.
//
// Codes that several operations share: "session_not_found"; "session_read_only" (the session of the
// command line is written by the command line alone); "session_closed" (submitted: nothing changes
// any more); "test_running" (the candidate of a running test is not touched); "commit_mismatch" and
// "key_reused" (see Terms); those of the journal ("journal_failed", "disk_full").
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "harness/ledger/ledger.h"
#include "harness/sessions/listener.h"
#include "harness/sessions/tag.h"
#include "harness/tasks/tasks.h"

namespace bitloop::sessions {

using Ranges = std::vector<std::pair<int64_t, int64_t>>;

struct ServiceOptions {
  std::filesystem::path workspace;
  std::filesystem::path share_dir;
  int jobs = 1;                 // tests that run at a time
  bool allow_degraded = false;  // runs may start without every layer of the jail
  int ready_checks = 0;         // trainers kept ready for checks, one a task, at most
  // Documents of the tasks' benchmarks, as `bitloop data benchmarks` writes them.
  std::filesystem::path benchmarks = {};
  // Runs that were killed and have checkpoints (checkpoint.every) are started again; otherwise they
  // are left as they are, for resume_local or another process.
  bool resumes_runs = false;
  // A session that nobody asked for so long, and in which no test runs, keeps only what a list
  // shows in memory; 0: never. Looked for a few times as often, and `after_look` is called then.
  std::chrono::milliseconds rest_after{60'000};
  std::function<void()> after_look = {};
};

struct FileInfo {
  std::string path;
  int64_t lines = 0;
  Ranges editable;
};

struct FileView {
  std::string path;
  std::string content;  // of the lines asked for
  Ranges editable;
  std::string view;
  std::string commit;  // the session's newest
};

struct EditRequest {
  std::string path;  // "candidate.lua"
  // "replace", "insert", "rewrite" or "str_replace", with the members below that it needs.
  std::string op;
  std::optional<int64_t> start_line = {}, end_line = {}, after_line = {};
  std::optional<std::string> region = {}, content = {}, old_str = {}, new_str = {};
  std::string description = {};
};

struct EditAnswer {
  std::string message;
  std::string commit;
  Ranges editable;
  std::string view;
  // Of an edit: that it changes nothing, or makes a candidate that was tested before (tried.h).
  std::vector<std::string> warnings = {};
};

struct TestView {
  int64_t test = 0;
  std::string status;
  std::string message;
  nlohmann::json metrics;  // named as the ledger's columns; null while it runs
  // Keep or revert (decision.h); null while it runs, and for the command line's runs.
  nlohmann::ordered_json decision;
  std::string commit;
  int64_t seed = 0;
  int64_t tests_left = 0;
};

struct SessionView {
  std::string id, task, quantizer, agent, state;  // state: "open", "testing" or "closed"
  std::string token;                              // the name of the one that made it, or ""
  std::string created;
  std::string commit;
  int64_t tests_total = 0;
  int64_t tests_left = 0;
  std::optional<int64_t> submitted;
  std::optional<int64_t> best;  // the test that the next is compared with (decision.h)
  std::string forked_from;      // "session/test", "" when it began with a quantizer
  std::vector<Tag> tags;
  std::vector<TestView> tests;
  std::vector<FileInfo> files;  // files[0] is the candidate
};

// A session as one of many.
struct ListedSession {
  std::string id, task, agent, state, token, created;
  int64_t tests_left = 0;
  std::vector<Tag> tags;
};

struct HistoryItem {
  std::string commit;
  int64_t time_s = 0;
  std::string event;
  std::string message;
  std::optional<int64_t> test;
};

// What changed in the candidate between two commits.
struct DiffView {
  std::string from, to;  // the commits, in full
  std::string path;
  std::string diff;  // unified, "" when nothing changed
};

struct NewSession {
  std::string task;
  std::string quantizer = "ternary";
  std::optional<int64_t> tests = {};  // at most the task's budget
  std::string agent = {};
  // The name of the token that makes it, or "". The sessions of a token share the task's budget.
  std::string token = {};
  // "session/test": the candidate of that test is what this session begins with, and task and
  // quantizer are that session's. `task` may be "".
  std::string from = {};
};

// A run from the command line, outside any agent's session.
struct LocalRun {
  std::string candidate;  // the Lua text
  std::string quantizer;  // its name in the ledger
  std::string description;
  tasks::Task task;
  nlohmann::json preset;  // after --set, --steps, --eval-every
  std::optional<int64_t> seed;
  std::string type =
      "local";  // or another of the command line's: the ledger's column, and the session's name
};

// Under which terms a client asks for a change; all of it may be empty.
struct Terms {
  // If-Match: the commits, separated by commas, one of which must be the session's newest; "*":
  // any.
  std::string expected = {};
  // Idempotency-Key: a request that was done under this key is not done again but answered as it
  // was then, also by a later process: the key stands in the commit of the event. Each session
  // remembers the newest RequestKeys::kMost; what was refused changed nothing and is not
  // remembered.
  std::string key = {};
  std::string request = {};  // the request's body: another one under the same key is "key_reused"
};

// Whether a session at commit `head` is where the client saw it. Error: "commit_mismatch".
Status check_expected(const Terms& terms, const std::string& head);

Error session_not_found(std::string_view id);

class Service {
 public:
  // Takes the workspace, rebuilds the state, adopts or ends what was running. Errors:
  // "workspace_in_use", those of Journal::open_or_create, load_tasks and SharedFiles::load.
  static Result<std::unique_ptr<Service>> open(const ServiceOptions& options);
  ~Service();  // stop()

  const ServiceOptions& options() const;  // the workspace's path made absolute
  const std::vector<tasks::Task>& tasks() const;
  // Error: "task_not_found".
  Result<tasks::Task> task(std::string_view name) const;

  // The read-only files that every session shows: program.md, lua.md, model.md, the quantizers.
  std::vector<FileInfo> shared_files() const;
  // The text of one of them. Error: "file_not_found".
  Result<std::string> shared_file(std::string_view path) const;

  // Errors: "task_not_found", "unknown_quantizer", "too_many_tests", "invalid_text" (also a tab or
  // a line end in `agent`); with `from` also "session_not_found", "test_not_found", "invalid_value"
  // (not of that form, another task, nothing in it may be edited).
  Result<SessionView> create(const NewSession& request, const Terms& terms = {});
  std::vector<ListedSession> list() const;  // oldest first
  Result<SessionView> get(std::string_view id) const;
  // The name of the token that made a session, "" when none did.
  Result<std::string> token_of(std::string_view id) const;
  // What an agent that lost its context must know, in at most kMaxSummaryBytes (summary.h).
  Result<nlohmann::ordered_json> summary(std::string_view id) const;
  // Gives a label to the session, or to a test of it; one that is there is left as it is. Errors:
  // "invalid_value" (see Tag), "test_not_found", "too_many_tags".
  Result<TagsView> tag(std::string_view id, const Tag& tag, const Terms& terms = {});
  // Error: "tag_not_found".
  Result<TagsView> untag(std::string_view id, const Tag& tag, const Terms& terms = {});
  // Oldest first.
  Result<std::vector<HistoryItem>> history(std::string_view id) const;

  // Lines start_line..end_line of a file (absent: all). Errors: "file_not_found", "invalid_range".
  Result<FileView> view(std::string_view id, std::string_view path,
                        std::optional<int64_t> start_line, std::optional<int64_t> end_line) const;
  // Errors: "file_read_only", "file_not_found", "missing_field", "unknown_op", those of
  // editor/edits.h.
  Result<EditAnswer> edit(std::string_view id, const EditRequest& request, const Terms& terms = {});
  // Takes back the last `count` edits. Error: "nothing_to_undo".
  Result<EditAnswer> undo(std::string_view id, int64_t count, const Terms& terms = {});
  // The candidate as it was at a test or a commit of this session. Errors: "test_not_found",
  // "unknown_commit".
  Result<EditAnswer> revert_to_test(std::string_view id, int64_t test, const Terms& terms = {});
  Result<EditAnswer> revert_to_commit(std::string_view id, std::string_view commit,
                                      const Terms& terms = {});

  // The free pre-flight: runs to its end. The document is {ok, findings, bits_per_weight, ms,
  // warnings}.
  // Error: "infrastructure".
  Result<nlohmann::ordered_json> check(std::string_view id, const Terms& terms = {});
  // Charges and queues a test. Error: "no_tests_left".
  Result<TestView> start_test(std::string_view id, std::string_view description,
                              const Terms& terms = {});
  // A test as it is now, or, while it runs, after up to `wait_ms` milliseconds. Error:
  // "test_not_found".
  Result<TestView> test(std::string_view id, int64_t number, int64_t wait_ms = 0) const;
  // A file of the run's folder: "log.tsv", "events.jsonl". "" before its first line. Error:
  // "test_not_found".
  Result<std::string> run_file(std::string_view id, int64_t test, const char* name) const;
  // Final: binds the test's commit and closes the session. Errors: "test_not_found", "test_failed"
  // (only `ok` can be submitted), "test_running".
  Result<TestView> submit(std::string_view id, int64_t test, const Terms& terms = {});

  // The ledger.
  std::vector<ledger::StoredRow> results() const;
  std::string results_tsv() const;

  // The candidate at `from` ("": the commit before `to`) and at `to` ("": the newest), both of this
  // session's history, by at least four digits. Errors: "unknown_commit", "ambiguous_commit".
  Result<DiffView> diff(std::string_view id, std::string_view from, std::string_view to) const;

  // Hears a session's events, or with "" all sessions', from the one after `last_event` on: the id
  // of an event, "" for the beginning (so is one that is not known), kFromNow for what is yet to
  // come. The listener must not outlive the service. Errors: "session_not_found", "stopping".
  static constexpr std::string_view kFromNow = "now";
  Result<Listener> listen(std::string_view id, std::string_view last_event);

  // Starts a run on the session named as the run's type, which is made when it is not there and has
  // no budget. Then test(run.type, n).
  Result<TestView> start_local(const LocalRun& run);
  // Lets a run of such a session go on from its newest checkpoint: one that was killed, and one
  // that ended as `infrastructure` or `out_of_memory`, whose end is taken back (event
  // "test-resumed"). `ranks`: in so many processes, 0 for as many as before. Errors:
  // "session_not_found", "test_not_found", "not_resumable" (it ended otherwise, lives, or left no
  // checkpoint), those of change_ranks.
  Result<TestView> resume_local(std::string_view type, int64_t test, int64_t ranks = 0);
  std::filesystem::path run_dir(std::string_view id, int64_t test) const;
  // Asks a test that runs or waits to end (status "cancelled"); false when it does not.
  bool cancel(std::string_view id, int64_t test);

  // How many sessions are in memory as a whole; the others rest (ServiceOptions::rest_after).
  size_t awake() const;

  // Wakes all waiters, ends watching; runs go on. Nothing may be called afterwards but the
  // destructor.
  void stop();

 private:
  struct Impl;
  explicit Service(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitloop::sessions
