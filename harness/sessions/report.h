// What a finished run means to an agent and to the ledger: the sentences of a test's message, the
// row, the document of a check. Pure functions of a verdict.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "harness/jobs/run_folder.h"
#include "harness/ledger/row.h"
#include "harness/sessions/state.h"

namespace bitloop::sessions {

// "[Test #1] (2 tests remaining; call submit(n=N) to choose which test result to submit as final)"
std::string test_headline(int64_t test, int64_t tests_left);
// "[submit] Submitting result from test #2 as final."
std::string submit_sentence(int64_t test);

// The stages of a test, each with its metrics or its failure, one line each without a last newline.
// `label` stands in parentheses ("quick"). `events` is the run's events.jsonl, used for the metrics
// of a run that was killed.
std::string render_stages(const jobs::Verdict& verdict, std::string_view label,
                          std::string_view events);
// "step=400, train_loss=2.2710, val_loss=2.3178": numbers alone, losses with four decimals, missing
// ones left out.
std::string render_metrics(const nlohmann::json& metrics);

// The ledger's columns that a verdict gives: status, flags, metrics, description when `row` has
// none.
void fill_row(ledger::Row& row, const jobs::Verdict& verdict);

// The version of the trainer that made these events ("0.1.0+5e96b16"), as their first record says
// before the candidate is read: after an upgrade a run that was adopted is another version's. ""
// where it does not say.
std::string version_of(std::string_view events);

// The trainer's digest of what the candidate does on probe tensors (64 hexadecimal digits), ""
// where there is none.
std::string behaviour_of(const jobs::Verdict& verdict);

// {ok, findings: [{rule, ok, detail}], bits_per_weight, ms, warnings: []}
nlohmann::ordered_json check_document(const jobs::Verdict& verdict, int64_t ms);

}  // namespace bitloop::sessions
