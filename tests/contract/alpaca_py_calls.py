"""Every public method of alpaca-py's clients for equities: what the simulator makes of it, and the test that shows it.

The one source of docs/alpaca-py.md: `python tests/contract/alpaca_py_calls.py` writes the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PAGE = Path(__file__).parents[2] / "docs" / "alpaca-py.md"

State = Literal["covered", "refused"]


@dataclass(frozen=True)
class Call:
    """One method: `proof` is the test that calls it, `note` what a reader should know."""

    method: str
    state: State
    proof: str
    note: str = ""


def _covered(method: str, proof: str, note: str = "") -> Call:
    return Call(method, "covered", proof, note)


def _refused(method: str, note: str) -> Call:
    return Call(method, "refused", "test_what_the_simulator_does_not_do_is_refused_in_alpacas_shape", note)


_WATCHLISTS = "501, no watchlists"
_READ_ONLY = "404 or 501, the data API is only read"
_OPTIONS = "501, no options"

CALLS: dict[str, Sequence[Call]] = {
    "TradingClient": (
        _covered("get_account", "test_the_account_has_its_cash_and_a_status"),
        _covered("get_account_configurations", "test_settings_are_kept_and_obeyed"),
        _covered("set_account_configurations", "test_settings_are_kept_and_obeyed"),
        _covered("get_portfolio_history", "test_the_history_of_the_portfolio_follows_its_value"),
        _covered(
            "get",
            "test_what_happened_to_the_account_is_listed_in_pages",
            "alpaca-py has no method for `/account/activities`: `client.get(...)` reaches it",
        ),
        _covered("post", "test_the_plain_methods_of_the_client_reach_the_api"),
        _covered("patch", "test_the_plain_methods_of_the_client_reach_the_api"),
        _covered("delete", "test_the_plain_methods_of_the_client_reach_the_api"),
        _refused("put", "404 or 501, no path of the API for equities is put"),
        _covered("response_wrapper", "test_the_plain_methods_of_the_client_reach_the_api", "sends nothing"),
        _covered("submit_order", "test_every_type_is_taken_with_its_times_in_force", "all types, classes, times"),
        _covered("get_orders", "test_orders_are_listed_by_every_filter"),
        _covered("get_order_by_id", "test_a_limit_order_can_be_read_and_cancelled"),
        _covered("get_order_by_client_id", "test_a_limit_order_can_be_read_and_cancelled"),
        _covered("replace_order_by_id", "test_an_order_is_replaced_by_one_with_a_new_id"),
        _covered("cancel_order_by_id", "test_a_limit_order_can_be_read_and_cancelled"),
        _covered("cancel_orders", "test_all_orders_are_cancelled_at_once"),
        _covered("get_all_positions", "test_positions_are_closed_in_part_and_all_at_once"),
        _covered("get_open_position", "test_a_market_order_is_filled_and_becomes_a_position"),
        _covered("close_position", "test_positions_are_closed_in_part_and_all_at_once"),
        _covered("close_all_positions", "test_positions_are_closed_in_part_and_all_at_once"),
        _covered("get_all_assets", "test_assets_are_listed_and_found_by_symbol_and_id"),
        _covered("get_asset", "test_assets_are_listed_and_found_by_symbol_and_id"),
        _covered("get_clock", "test_the_clock_tells_market_time"),
        _covered("get_calendar", "test_the_calendar_has_sessions_and_half_days"),
        _covered("get_corporate_announcements", "test_corporate_actions_are_announced", "deprecated by Alpaca"),
        _covered("get_corporate_announcement_by_id", "test_corporate_actions_are_announced"),
        _refused("get_watchlists", _WATCHLISTS),
        _refused("get_watchlist_by_id", _WATCHLISTS),
        _refused("create_watchlist", _WATCHLISTS),
        _refused("update_watchlist_by_id", _WATCHLISTS),
        _refused("add_asset_to_watchlist_by_id", _WATCHLISTS),
        _refused("remove_asset_from_watchlist_by_id", _WATCHLISTS),
        _refused("delete_watchlist_by_id", _WATCHLISTS),
        _refused("get_option_contracts", _OPTIONS),
        _refused("get_option_contract", _OPTIONS),
        _refused("exercise_options_position", _OPTIONS),
    ),
    "StockHistoricalDataClient": (
        _covered("get_stock_bars", "test_a_year_of_daily_bars_for_five_symbols", "all time frames and adjustments"),
        _covered("get_stock_quotes", "test_quotes_come_in_pages_and_in_order"),
        _covered("get_stock_trades", "test_trades_come_in_pages_and_in_order"),
        _covered("get_stock_latest_bar", "test_the_latest_quote_trade_and_bar_agree"),
        _covered("get_stock_latest_quote", "test_the_latest_quote_trade_and_bar_agree"),
        _covered("get_stock_latest_trade", "test_the_latest_quote_trade_and_bar_agree"),
        _covered("get_stock_snapshot", "test_a_snapshot_is_what_its_parts_are"),
        _covered("get", "test_the_plain_methods_of_the_data_client_reach_the_api"),
        _covered("response_wrapper", "test_the_plain_methods_of_the_data_client_reach_the_api", "sends nothing"),
        _refused("post", _READ_ONLY),
        _refused("put", _READ_ONLY),
        _refused("patch", _READ_ONLY),
        _refused("delete", _READ_ONLY),
    ),
    "CorporateActionsClient": (
        _covered("get_corporate_actions", "test_corporate_actions_are_told_by_kind"),
        _covered("get", "test_corporate_actions_are_told_by_kind"),
        _covered("response_wrapper", "test_corporate_actions_are_told_by_kind", "sends nothing"),
        _refused("post", _READ_ONLY),
        _refused("put", _READ_ONLY),
        _refused("patch", _READ_ONLY),
        _refused("delete", _READ_ONLY),
    ),
    "TradingStream": (
        _covered("subscribe_trade_updates", "test_a_fill_is_heard_after_the_order_is_new"),
        _covered("run", "test_a_fill_is_heard_after_the_order_is_new"),
        _covered("stop", "test_a_fill_is_heard_after_the_order_is_new"),
        _covered("stop_ws", "test_the_coroutines_of_the_trading_stream_end_it"),
        _covered("close", "test_the_coroutines_of_the_trading_stream_end_it"),
    ),
    "StockDataStream": (
        _covered("subscribe_bars", "test_minute_bars_are_heard_as_they_end"),
        _covered("subscribe_quotes", "test_quotes_and_trades_are_heard"),
        _covered("subscribe_trades", "test_quotes_and_trades_are_heard"),
        _covered("subscribe_updated_bars", "test_every_channel_can_be_subscribed_and_left"),
        _covered("subscribe_daily_bars", "test_daily_bars_are_heard"),
        _covered("subscribe_trading_statuses", "test_a_halt_and_its_end_are_heard"),
        _covered("unsubscribe_bars", "test_every_channel_can_be_subscribed_and_left"),
        _covered("unsubscribe_quotes", "test_every_channel_can_be_subscribed_and_left"),
        _covered("unsubscribe_trades", "test_every_channel_can_be_subscribed_and_left"),
        _covered("unsubscribe_updated_bars", "test_every_channel_can_be_subscribed_and_left"),
        _covered("unsubscribe_daily_bars", "test_every_channel_can_be_subscribed_and_left"),
        _covered("unsubscribe_trading_statuses", "test_every_channel_can_be_subscribed_and_left"),
        _covered(
            "register_trade_corrections",
            "test_every_channel_can_be_subscribed_and_left",
            "taken; trades here are never corrected",
        ),
        _covered(
            "register_trade_cancels",
            "test_every_channel_can_be_subscribed_and_left",
            "taken; trades here are never cancelled",
        ),
        _covered("run", "test_minute_bars_are_heard_as_they_end"),
        _covered("stop", "test_minute_bars_are_heard_as_they_end"),
        _covered("stop_ws", "test_the_coroutines_of_the_data_stream_end_it"),
        _covered("close", "test_the_coroutines_of_the_data_stream_end_it"),
    ),
}

_HEAD = """\
# alpaca-py against the simulator

Every public method of alpaca-py 0.44's clients for equities. *Covered*: a test calls it against the simulator and its \
own models parse the answer. *Refused*: the simulator answers with an error in Alpaca's shape and never pretends.

The page is written by `python tests/contract/alpaca_py_calls.py`; a test fails when a method of the library is \
missing from it.

"""


def page() -> str:
    """The whole of docs/alpaca-py.md."""
    return _HEAD + "\n".join(_section(client, calls) for client, calls in CALLS.items()) + _FOOT


def _section(client: str, calls: Sequence[Call]) -> str:
    covered = sum(call.state == "covered" for call in calls)
    rows = "\n".join(f"| `{call.method}` | {call.state} | {call.note} |" for call in calls)
    counts = f"{covered} covered, {len(calls) - covered} refused."
    return f"## {client}\n{counts}\n\n| method | | |\n|---|---|---|\n{rows}\n"


_FOOT = """
## Other clients
`NewsClient`, `ScreenerClient`, and those for crypto and options are refused: 501 for their paths \
and no websocket for their streams. `BrokerClient` belongs to another API, which the simulator does not have.
"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
