// Requests that partners have live.

/** InvolveAsia's template A with a conversion id of the test's own. */
export const involveA = (conversionId, { time = "2025-01-01%2012:00:00", more = "" } = {}) =>
  `click_id=test123&media_id=456&rewars=10.50&conversion_id=${conversionId}&event=purchase&event_time=${time}` +
  `&offer_name=test_offer&datetime_conversion=${time}&usd_sale_amount=100.00${more}`;

/** InvolveAsia's template B. */
export const involveB = (conversionId) =>
  `sub_id=test123&media_id=media456&click_id=click789&usd_sale_amount=99.99&usd_payout=9.99&offer_name=Test` +
  `&conversion_id=${conversionId}&conversion_datetime=2025-01-15`;

/** Rector's template. */
export const rector = (conversionId) =>
  `media_id=media456&sub_id=test123&usd_sale_amount=99.99&usd_earning=9.99&offer_name=Test` +
  `&conversion_id=${conversionId}&conversion_datetime=2025-01-15&click_id=click789`;

/** The token of the development set-up. */
export const TOKEN = "default-ts-token";
