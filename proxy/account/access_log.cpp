#include "proxy/account/access_log.h"

#include "proxy/account/access_line.h"
#include "proxy/account/log_writer.h"
#include "proxy/account/logging.h"

#include <utility>
#include <vector>

namespace nearhop::account {
struct AccessLog::Lane::Form {
    Form(conf::LogFormat wanted, Counter& lost, std::shared_ptr<LogWriter::Ring> queue)
        : format{wanted}, dropped{lost}, ring{std::move(queue)} {}

    std::unique_ptr<char[]> line = std::make_unique_for_overwrite<char[]>(access_line_room);
    conf::LogFormat format;
    Counter& dropped;
    std::shared_ptr<LogWriter::Ring> ring;
};

void AccessLog::Lane::write(const AccessRecord& record) noexcept {
    if (!form_) return;
    if (!form_->ring->push(format_access_line(form_->line.get(), record, form_->format))) form_->dropped.add();
}

struct AccessLog::Impl final : LogWriter::Owner {
    Impl(const conf::Log& log, Workers workers, Counter& write_dropped)
        : where{*log.access}, written_off{write_dropped}, lanes(workers.size()) {
        if (where == "off") return;
        std::vector<std::shared_ptr<LogWriter::Ring>> rings;
        for (std::size_t i = 0; i < workers.size(); ++i) {
            rings.push_back(std::make_shared<LogWriter::Ring>());
            lanes[i].form_ = std::make_shared<Lane::Form>(*log.format, workers[i]->log_dropped, rings.back());
        }
        writer = std::make_unique<LogWriter>(where, std::move(rings), *this);
    }

    void lines_lost(std::uint64_t count) noexcept override { written_off.add(count); }
    void hear(LogWriter::News news, const std::string& error) noexcept override {
        switch (news) {
            case LogWriter::News::failed: return log_error("access_log_failed", {{"file", where}, {"error", error}});
            case LogWriter::News::recovered: return log_info("access_log_recovered", {{"file", where}});
            case LogWriter::News::reopened: return log_info("access_log_reopened", {{"file", where}});
        }
    }

    const std::string where;
    Counter& written_off;
    std::vector<Lane> lanes;
    std::unique_ptr<LogWriter> writer;  // last: it uses all of the above
};

AccessLog::AccessLog(const conf::Log& log, Workers workers, Counter& write_dropped)
    : impl_{std::make_unique<Impl>(log, workers, write_dropped)} {}
AccessLog::~AccessLog() = default;

bool AccessLog::enabled() const noexcept { return impl_->writer != nullptr; }

AccessLog::Lane& AccessLog::lane(unsigned worker) noexcept { return impl_->lanes[worker]; }

void AccessLog::reopen() noexcept {
    if (enabled()) impl_->writer->reopen();
}

}  // namespace nearhop::account
