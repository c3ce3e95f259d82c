#include "harness/journal/objects.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "harness/journal/git.h"
#include "tests/harness/journal/fixture.h"

namespace bitloop::journal {
namespace {

// libGit2 writes the same into another repository: the oracle.
class Objects : public ::testing::Test {
 protected:
  Objects() {
    start_git();
    EXPECT_TRUE(create_repository(ours_));
    EXPECT_TRUE(create_repository(theirs_));
    ours_repository_ = std::move(*open_repository(ours_));
    theirs_repository_ = std::move(*open_repository(theirs_));
    EXPECT_EQ(git_repository_odb(&ours_odb_, ours_repository_.get()), 0);
    EXPECT_EQ(git_repository_odb(&theirs_odb_, theirs_repository_.get()), 0);
  }
  ~Objects() override {
    git_odb_free(ours_odb_);
    git_odb_free(theirs_odb_);
  }
  git_oid theirs(git_object_t kind, std::string_view content) {
    git_oid id;
    EXPECT_EQ(git_odb_write(&id, theirs_odb_, content.data(), content.size(), kind), 0);
    return id;
  }

  Workspace workspace_;
  std::filesystem::path ours_ = workspace_.path() / "ours.git";
  std::filesystem::path theirs_ = workspace_.path() / "theirs.git";
  Repository ours_repository_, theirs_repository_;
  git_odb* ours_odb_ = nullptr;
  git_odb* theirs_odb_ = nullptr;
  SpareFiles spare_{ours_ / "objects", 4};
  Deflater deflater_;
};

TEST_F(Objects, AreThoseOfGit) {
  const ObjectWriter writer(spare_, deflater_, ours_);
  std::string binary;
  for (int i = 0; i < 70'000; ++i) binary += static_cast<char>(i * i);
  for (const std::string& content : {std::string(), std::string("x = 1\n"), binary}) {
    auto written = writer.write(GIT_OBJECT_BLOB, content, nullptr);
    ASSERT_TRUE(written) << written.error().message;
    EXPECT_EQ(git_odb_exists(ours_odb_, &written->id), 0);
    ASSERT_TRUE(writer.publish(*written));
    EXPECT_EQ(to_hex(written->id), to_hex(theirs(GIT_OBJECT_BLOB, content)));
    git_odb_object* raw = nullptr;
    ASSERT_EQ(git_odb_read(&raw, ours_odb_, &written->id), 0);
    EXPECT_EQ(
        std::string(static_cast<const char*>(git_odb_object_data(raw)), git_odb_object_size(raw)),
        content);
    EXPECT_EQ(git_odb_object_type(raw), GIT_OBJECT_BLOB);
    git_odb_object_free(raw);
    struct stat info {};
    ASSERT_EQ(::stat(loose_path(ours_, written->id).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0444U);
    EXPECT_EQ(*read_file(loose_path(ours_, written->id)), written->bytes);
  }
}

TEST_F(Objects, TreeAndCommitAreThoseOfGit) {
  const git_oid blob = theirs(GIT_OBJECT_BLOB, "x = 1\n");
  git_treebuilder* builder = nullptr;
  ASSERT_EQ(git_treebuilder_new(&builder, theirs_repository_.get(), nullptr), 0);
  for (const char* name : {"b.json", "a.lua"})
    ASSERT_EQ(git_treebuilder_insert(nullptr, builder, name, &blob, GIT_FILEMODE_BLOB), 0);
  git_oid tree;
  ASSERT_EQ(git_treebuilder_write(&tree, builder), 0);
  git_treebuilder_free(builder);
  EXPECT_EQ(to_hex(theirs(GIT_OBJECT_TREE, tree_content({{"a.lua", blob}, {"b.json", blob}}))),
            to_hex(tree));

  git_tree* whole = nullptr;
  ASSERT_EQ(git_tree_lookup(&whole, theirs_repository_.get(), &tree), 0);
  const GitTree tree_owner(whole);
  git_signature* who = nullptr;
  ASSERT_EQ(git_signature_new(&who, "bitloop", "bitloop@localhost", 1'795'810'578, 0), 0);
  const std::string message = "edit: ein \"Übersatz\"\n\nBitloop-Op: insert\n";
  git_oid first, second;
  ASSERT_EQ(git_commit_create(&first, theirs_repository_.get(), nullptr, who, who, nullptr,
                              message.c_str(), whole, 0, nullptr),
            0);
  git_commit* parent = nullptr;
  ASSERT_EQ(git_commit_lookup(&parent, theirs_repository_.get(), &first), 0);
  const GitCommit parent_owner(parent);
  const git_commit* parents[] = {parent};
  ASSERT_EQ(git_commit_create(&second, theirs_repository_.get(), nullptr, who, who, nullptr,
                              message.c_str(), whole, 1, parents),
            0);
  git_signature_free(who);
  const std::string name = "bitloop <bitloop@localhost>";
  EXPECT_EQ(to_hex(theirs(GIT_OBJECT_COMMIT,
                          commit_content({tree, nullptr, name, 1'795'810'578, message}))),
            to_hex(first));
  EXPECT_EQ(to_hex(theirs(GIT_OBJECT_COMMIT,
                          commit_content({tree, &first, name, 1'795'810'578, message}))),
            to_hex(second));
}

TEST_F(Objects, WhatIsKnownToBeThereIsNotWrittenAgain) {
  const ObjectWriter writer(spare_, deflater_, ours_);
  auto first = writer.write(GIT_OBJECT_BLOB, "once", nullptr);
  ASSERT_TRUE(first->file.has_value());
  EXPECT_TRUE(writer.publish(*first));
  auto known = writer.write(GIT_OBJECT_BLOB, "once", &first->id);
  EXPECT_FALSE(known->file.has_value());
  EXPECT_TRUE(writer.publish(*known));
  EXPECT_TRUE(writer.write(GIT_OBJECT_BLOB, "other", &first->id)->file.has_value());
  // Also what is there without being known to be may be written again.
  auto again = writer.write(GIT_OBJECT_BLOB, "once", nullptr);
  EXPECT_TRUE(writer.publish(*again));
}

}  // namespace
}  // namespace bitloop::journal
