#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/jobs/supervisor.h"

namespace bitloop::cli {

void add_supervise(CLI::App& app, int& exit_code) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("supervise", "Run the job of one run folder (started by the queue)");
  command->group("");  // not listed
  command->add_option("RUN_DIR", *folder)->required();
  command->callback([folder, &exit_code] { exit_code = jobs::supervise(*folder); });
}

}  // namespace bitloop::cli
