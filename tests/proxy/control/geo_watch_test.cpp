#include "proxy/control/geo_watch.h"

#include "proxy/setup/build.h"
#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace nearhop::control {
namespace {

const std::string good = NEARHOP_SOURCE_DIR "/geo/data/dbip-country.mmdb";

struct Watched {
    Folder folder;
    std::string file = folder.file("geo.mmdb");
    conf::Geo geo;
    GeoWatch watch;
    std::shared_ptr<const geo::Database> first;

    Watched() {
        std::filesystem::copy_file(good, file);
        // Old enough not to be taken for a file that is still being written.
        std::filesystem::last_write_time(file, std::filesystem::file_time_type::clock::now() - std::chrono::hours{1});
        geo.databases = {{file}};
        first = setup::open_database(file).database;
        watch.follow(geo, {first});
    }
};

TEST(GeoWatch, AnUntouchedFileIsNotOpenedAgain) {
    Watched world;
    const auto found = world.watch.look();
    EXPECT_EQ(found.replaced + found.refused, 0u);
    EXPECT_EQ(world.watch.in_use(), std::vector{world.first});
}

TEST(GeoWatch, AReplacedFileIsUsedFromThenOn) {
    Watched world;
    std::filesystem::copy_file(good, world.folder.file("new.mmdb"));
    std::filesystem::rename(world.folder.file("new.mmdb"), world.file);
    EXPECT_EQ(world.watch.look().replaced, 1u);
    EXPECT_NE(world.watch.in_use().at(0), world.first);
    EXPECT_EQ(world.watch.look().replaced, 0u);
}

TEST(GeoWatch, ABadFileLeavesTheOldOneInUseAndIsReportedOnce) {
    for (const std::string content : {"", "hello", "half"}) {
        Watched world;
        if (content == "half")
            std::filesystem::resize_file(world.file, std::filesystem::file_size(world.file) / 2);
        else
            world.folder.write("geo.mmdb", content);
        EXPECT_EQ(world.watch.look().refused, 1u) << content;
        EXPECT_EQ(world.watch.in_use().at(0), world.first);
        EXPECT_NE(world.watch.databases().at(0).failure, "");
        EXPECT_EQ(world.watch.look().refused, 0u);
        std::filesystem::copy_file(good, world.file, std::filesystem::copy_options::overwrite_existing);
        EXPECT_EQ(world.watch.look().replaced, 1u);
        EXPECT_EQ(world.watch.databases().at(0).failure, "");
    }
}

TEST(GeoWatch, AFileThatGoesAwayLeavesTheOldOneInUse) {
    Watched world;
    std::filesystem::remove(world.file);
    EXPECT_EQ(world.watch.look().refused, 1u);
    EXPECT_EQ(world.watch.in_use().at(0), world.first);
}

TEST(GeoWatch, AFileWrittenAsItWasOpenedIsOpenedOnceMore) {
    Watched world;
    std::filesystem::last_write_time(world.file, std::filesystem::file_time_type::clock::now());
    world.watch.follow(world.geo, {world.first});
    EXPECT_EQ(world.watch.look().replaced, 1u);
    EXPECT_EQ(world.watch.look().replaced, 0u);
}

TEST(GeoWatch, AFileThatHasNotChangedIsOneCopyForAllWhoOpenIt) {
    Watched world;
    EXPECT_EQ(setup::open_database(world.file).database, world.first);
    const std::weak_ptr<const geo::Database> freed = world.first;
    world.first.reset();
    world.watch.follow({}, {});
    EXPECT_TRUE(freed.expired()) << "nothing is kept for its own sake";
    EXPECT_TRUE(setup::open_database(world.file).database);
}

TEST(GeoWatch, AFileThatChangedSinceItWasOpenedIsAnotherCopyAlsoWhereSizeAndNameStay) {
    Watched world;
    const auto written = std::filesystem::last_write_time(world.file);
    std::filesystem::last_write_time(world.file, written + std::chrono::milliseconds{1});
    const auto second = setup::open_database(world.file).database;
    EXPECT_NE(second, world.first);
    std::filesystem::copy_file(world.file, world.folder.file("new.mmdb"));
    std::filesystem::last_write_time(world.folder.file("new.mmdb"), written);
    std::filesystem::rename(world.folder.file("new.mmdb"), world.file);
    const auto third = setup::open_database(world.file).database;
    EXPECT_NE(third, world.first) << "another file with the old one's time";
    EXPECT_EQ(setup::open_database(world.file).database, third);
}

TEST(GeoWatch, AFileThatChangedBetweenItsReadingAndItsFollowingIsSeen) {
    Watched world;
    std::filesystem::copy_file(good, world.folder.file("new.mmdb"));
    std::filesystem::last_write_time(world.folder.file("new.mmdb"),
                                     std::filesystem::file_time_type::clock::now() - std::chrono::minutes{5});
    std::filesystem::rename(world.folder.file("new.mmdb"), world.file);
    world.watch.follow(world.geo, {world.first});  // as a reload does that took long to read
    EXPECT_EQ(world.watch.look().replaced, 1u);
    EXPECT_EQ(world.watch.look().replaced, 0u);
}

TEST(GeoWatch, OneThatBecomesOldWhileItIsInUseIsToldOnce) {
    using std::chrono::days;
    Watched world;
    const auto built = world.first->built();
    world.watch.follow({}, {world.first});  // as the embedded one, which no file replaces
    ::testing::internal::CaptureStderr();
    world.watch.look(built + days{45});
    EXPECT_FALSE(world.watch.databases().at(0).old);
    world.watch.look(built + days{46});
    EXPECT_TRUE(world.watch.databases().at(0).old);
    world.watch.look(built + days{47});
    const auto told = ::testing::internal::GetCapturedStderr();
    const auto first = told.find("old=true age_days=46");
    EXPECT_NE(first, std::string::npos) << told;
    EXPECT_EQ(told.find("old=true", first + 1), std::string::npos) << told;
}

TEST(GeoWatch, AReloadDoesNotSayAgainThatTheSameOneIsOld) {
    Watched world;
    world.watch.follow({}, {world.first});
    world.watch.look(world.first->built() + std::chrono::days{46});
    ::testing::internal::CaptureStderr();
    world.watch.follow({}, {world.first});
    EXPECT_EQ(::testing::internal::GetCapturedStderr().find("old=true"), std::string::npos);
}

TEST(GeoWatch, AFileThatGrewTooLargeIsRefused) {
    Watched world;
    world.watch.follow(world.geo, {world.first}, std::filesystem::file_size(world.file));
    std::filesystem::resize_file(world.file, std::filesystem::file_size(world.file) + 1);
    EXPECT_EQ(world.watch.look().refused, 1u);
    EXPECT_NE(world.watch.databases().at(0).failure.find("there is room for"), std::string::npos);
}

}  // namespace
}  // namespace nearhop::control
