#include "harness/cli/completion.h"

#include <gmock/gmock.h>

namespace bitloop::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Completing : public testing::Test {
 protected:
  Completing() {
    CLI::App* run = app_.add_subcommand("run", "run\nit");
    run->add_option("FILE", file_)->required();
    run->add_option("--workspace", text_);
    run->add_option("--session", text_);
    run->add_option("--kind", text_)->check(CLI::IsMember({"one", "two"}));
    run->add_option("--count", count_);
    run->add_flag("--json", json_);
    app_.add_subcommand("secret", "")->group("");
    CLI::App* deep = app_.add_subcommand("rules", "");
    deep->add_subcommand("list", "");
  }

  std::vector<std::string> words(const std::vector<std::string>& line) {
    found_ = complete(app_, line, [this](const std::string& kind, const std::string& workspace) {
      asked_ = kind + "@" + workspace;
      return std::vector<std::string>{"amber", "brave"};
    });
    std::vector<std::string> list;
    for (const Completion& completion : found_.words) list.push_back(completion.word);
    return list;
  }

  CLI::App app_;
  std::string file_, text_, asked_;
  int count_ = 0;
  bool json_ = false;
  Completions found_;
};

TEST_F(Completing, Commands) {
  EXPECT_THAT(words({""}), ElementsAre("run", "rules"));
  EXPECT_EQ(found_.words[0].about, "run it");
  EXPECT_THAT(words({"ru"}), ElementsAre("run", "rules"));
  EXPECT_THAT(words({"rul"}), ElementsAre("rules"));
  EXPECT_THAT(words({"rules", ""}), ElementsAre("list"));
  EXPECT_THAT(words({}), ElementsAre("run", "rules"));
}

TEST_F(Completing, OptionsAndTheirValues) {
  EXPECT_THAT(words({"run", "--js"}), ElementsAre("--json"));
  EXPECT_THAT(words({"run", "--kind", ""}), ElementsAre("one", "two"));
  EXPECT_THAT(words({"run", "--kind=t"}), ElementsAre("--kind=two"));
  EXPECT_THAT(words({"run", "--count", ""}), IsEmpty());
  EXPECT_EQ(found_.files, Files::kNone);
  EXPECT_THAT(words({"run", "--workspace", ""}), IsEmpty());
  EXPECT_EQ(found_.files, Files::kFolders);
}

TEST_F(Completing, WordsOfTheWorkspaceThatIsNamed) {
  EXPECT_THAT(words({"run", "--workspace", "w", "--session", "b"}), ElementsAre("brave"));
  EXPECT_EQ(asked_, "session@w");
  EXPECT_THAT(words({"run", "--workspace=v", "--session=a"}), ElementsAre("--session=amber"));
  EXPECT_EQ(asked_, "session@v");
}

TEST_F(Completing, ArgumentsAreFilesUntilAllAreGiven) {
  EXPECT_THAT(words({"run", "--json", ""}), IsEmpty());
  EXPECT_EQ(found_.files, Files::kAny);
  words({"run", "a.lua", ""});
  EXPECT_EQ(found_.files, Files::kNone);
  EXPECT_THAT(words({"run", "--", "--js"}), IsEmpty());  // a file's name
  EXPECT_EQ(found_.files, Files::kAny);
}

TEST(CompletionScript, OfThreeShells) {
  for (const char* shell : {"bash", "zsh", "fish"}) EXPECT_TRUE(completion_script(shell));
  EXPECT_EQ(completion_script("tcsh").error().code, "unknown_shell");
}

}  // namespace
}  // namespace bitloop::cli
