-- What the gateway's processes may do in their schema: its tables are views that can be rebuilt.
GRANT USAGE ON SCHEMA {schema} TO {role};
-- Each table of a view with its shadow: a rebuild empties one, and swaps the two by their names.
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON
    {schema}.balances, {schema}.balances_shadow, {schema}.lots, {schema}.lots_shadow,
    {schema}.spend_partners, {schema}.spend_partners_shadow,
    {schema}.partner_spend, {schema}.partner_spend_shadow,
    {schema}.partner_subscribers, {schema}.partner_subscribers_shadow,
    {schema}.spend_lines, {schema}.spend_lines_shadow,
    {schema}.spend_members, {schema}.spend_members_shadow,
    {schema}.trial_balance, {schema}.trial_balance_shadow,
    {schema}.trial_lots, {schema}.trial_lots_shadow,
    {schema}.trial_remaining, {schema}.trial_remaining_shadow,
    {schema}.transfers_in_transit, {schema}.transfers_in_transit_shadow,
    {schema}.history, {schema}.history_shadow, {schema}.history_ends, {schema}.history_ends_shadow,
    {schema}.gifts, {schema}.gifts_shadow,
    {schema}.subscriber_facts, {schema}.subscriber_facts_shadow,
    {schema}.subscriber_plans, {schema}.subscriber_plans_shadow,
    {schema}.subscriber_months, {schema}.subscriber_months_shadow,
    {schema}.partners, {schema}.partners_shadow,
    {schema}.partner_prices, {schema}.partner_prices_shadow,
    {schema}.partner_campaigns, {schema}.partner_campaigns_shadow,
    {schema}.campaigns, {schema}.campaigns_shadow,
    {schema}.campaign_lots, {schema}.campaign_lots_shadow,
    {schema}.sponsored, {schema}.sponsored_shadow, {schema}.fund_alarms, {schema}.fund_alarms_shadow
TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.inbox_positions, {schema}.parked TO {role};
-- The swap of a rebuilt view renames tables that belong to the schema's owner.
GRANT EXECUTE ON FUNCTION {schema}.swap_with_shadows(text[]) TO {role};
