// The commands of the program `bitloop`, one file each. Each function adds a subcommand; when that
// is chosen, its callback does the work and sets the exit code.
#pragma once

#include <CLI/CLI.hpp>

namespace bitloop::cli {

void add_serve(CLI::App& app, int& exit_code);
void add_token(CLI::App& app, int& exit_code);
void add_mcp(CLI::App& app, int& exit_code);
void add_check(CLI::App& app, int& exit_code);
void add_train(CLI::App& app, int& exit_code);
void add_baseline(CLI::App& app, int& exit_code);
void add_compare(CLI::App& app, int& exit_code);
void add_eval(CLI::App& app, int& exit_code);
void add_estimate(CLI::App& app, int& exit_code);
void add_export(CLI::App& app, int& exit_code);
void add_generate(CLI::App& app, int& exit_code);
void add_pack(CLI::App& app, int& exit_code);
void add_quantize(CLI::App& app, int& exit_code);
void add_profile(CLI::App& app, int& exit_code);
void add_data(CLI::App& app, int& exit_code);
void add_lua(CLI::App& app, int& exit_code);
void add_results(CLI::App& app, int& exit_code);
void add_show(CLI::App& app, int& exit_code);
void add_diff(CLI::App& app, int& exit_code);
void add_doctor(CLI::App& app, int& exit_code);
void add_replay(CLI::App& app, int& exit_code);
void add_verify(CLI::App& app, int& exit_code);
void add_completion(CLI::App& app, int& exit_code);  // and, hidden, what the scripts ask
void add_demo(CLI::App& app, int& exit_code);
void add_supervise(CLI::App& app, int& exit_code);  // hidden: what the queue starts for each run

}  // namespace bitloop::cli
