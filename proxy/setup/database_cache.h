#pragma once

#include "geo/database.h"
#include "proxy/shared/file_stamp.h"

#include <memory>
#include <string>

/// Geo databases that are still in use, by file: reloads and entries that name the same unchanged file share one copy,
/// which may be large. Nothing is kept for its own sake. Any thread.
namespace nearhop::setup {

/// Null: the file has another content by now, or nobody uses it.
std::shared_ptr<const geo::Database> find_database(const std::string& file, const shared::FileStamp& stamp);
/// `stamp` is of before the file was read.
void remember_database(const std::string& file, const shared::FileStamp& stamp,
                       const std::shared_ptr<const geo::Database>& database);
/// What the file looked like when this was read from it; a stamp that no file has where that is not known for certain.
shared::FileStamp stamp_of(const std::string& file, const geo::Database& database);

}  // namespace nearhop::setup
