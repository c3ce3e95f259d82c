#include "harness/journal/verify.h"

#include <gmock/gmock.h>

#include <fstream>

#include "harness/base/fd.h"
#include "tests/harness/journal/fixture.h"

namespace bitloop::journal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Verify : public testing::Test {
 protected:
  Verify() {
    auto lock = WorkspaceLock::acquire(workspace_.path());
    auto journal = Journal::open_or_create(*lock);
    for (const char* id : {"a", "b"}) {
      EXPECT_TRUE((*journal)->create_session(id, make_event("session", "Began", id)));
      EXPECT_TRUE((*journal)->append(id, make_event("edit", "Edited", id + std::string("2"))));
    }
  }
  std::filesystem::path git() const { return workspace_.path() / "journal.git"; }

  Workspace workspace_;
};

TEST_F(Verify, AWholeJournalHasNoProblems) {
  const auto health = verify(workspace_.path());
  ASSERT_TRUE(health);
  EXPECT_THAT(health->sessions, ElementsAre("a", "b"));
  EXPECT_EQ(health->commits, 4u);
  EXPECT_EQ(health->loose_objects, 13u);  // 4 commits, 4 trees, 4 candidates, one session.json
  EXPECT_THAT(health->problems, IsEmpty());
  EXPECT_THAT(health->leftovers, IsEmpty());
}

TEST_F(Verify, APackedJournalIsReadAsWell) {
  ASSERT_EQ(workspace_.git("gc --quiet").status, 0);
  const auto health = verify(workspace_.path());
  EXPECT_EQ(health->commits, 4u);
  EXPECT_EQ(health->loose_objects, 0u);
  EXPECT_EQ(health->packs, 1u);
  EXPECT_THAT(health->problems, IsEmpty());
}

TEST_F(Verify, ADamagedObjectIsFoundAndItsSessionNamed) {
  std::string name = workspace_.git("rev-parse sessions/b~1:candidate.lua").text;
  name = name.substr(0, 40);
  const auto file = git() / "objects" / name.substr(0, 2) / name.substr(2);
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  std::ofstream(file) << "not an object";
  const auto health = verify(workspace_.path());
  EXPECT_THAT(health->sessions, ElementsAre("a"));
  EXPECT_THAT(health->problems, ElementsAre(HasSubstr("session b: file " + name)));
}

TEST_F(Verify, AReferenceThatIsNoneIsFound) {
  std::ofstream(git() / "refs" / "heads" / "sessions" / "b") << "gone\n";
  const auto health = verify(workspace_.path());
  EXPECT_THAT(health->sessions, ElementsAre("a"));
  EXPECT_THAT(health->problems, testing::Contains(HasSubstr("session b")));
}

TEST_F(Verify, LocksAndHalfWrittenObjectsAreLeftovers) {
  std::ofstream(git() / "HEAD.lock");
  std::ofstream(git() / "objects" / "tmp_object_1");
  EXPECT_EQ(verify(workspace_.path())->leftovers.size(), 2u);
}

TEST(VerifyNothing, IsAnError) {
  const test_support::ScratchFolder folder;
  EXPECT_EQ(verify(folder.path()).error().code, "file_not_found");
}

}  // namespace
}  // namespace bitloop::journal
